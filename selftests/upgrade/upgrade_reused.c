// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel can evict an element of an LRU map that a program has just found, and reuse
 * it: what the program then reads is another key's value. The load must not take it for
 * the value of its key.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "bpf_harness.h"
#include "upgrade_request.h"
#include "upgrade_old.skel.h"

#define KEY 1
#define OTHER_KEY 2		/* and its stamp */
#define STAMP 100

FIXTURE(reused)
{
	struct upgrade_old *old;
	struct load_request *request;
};

FIXTURE_SETUP(reused)
{
	typeof(self->old->progs) *progs;
	struct bpf_map *map;

	libbpf_set_print(print_warnings);
	self->old = upgrade_old__open();
	ASSERT_NE(NULL, self->old);
	map = self->old->maps.old_map;
	progs = &self->old->progs;
	ASSERT_EQ(0, bpf_map__set_type(map, BPF_MAP_TYPE_LRU_HASH));
	/* With it, what a CPU has freed is what it uses next. */
	ASSERT_EQ(0, bpf_map__set_map_flags(map, BPF_F_NO_COMMON_LRU));
	ASSERT_EQ(0, bpf_map__set_max_entries(map, 64));
	ASSERT_EQ(0, bpf_program__set_autoload(progs->dawdle_update, false));
	ASSERT_EQ(0, bpf_program__set_autoload(progs->dawdle_delete, false));
	ASSERT_EQ(0, bpf_program__set_autoload(progs->reuse_found, true));
	ASSERT_EQ(0, upgrade_old__load(self->old));
	ASSERT_EQ(0, upgrade_old__attach(self->old));
	self->request = mmap(NULL, LOAD_THREADS * sizeof(*self->request),
			     PROT_READ | PROT_WRITE, MAP_SHARED,
			     bpf_map__fd(self->old->maps.requests), 0);
	ASSERT_NE(MAP_FAILED, self->request);
}

FIXTURE_TEARDOWN(reused)
{
	munmap(self->request, LOAD_THREADS * sizeof(*self->request));
	upgrade_old__destroy(self->old);
}

/* What the load finds in an element that nobody else writes. */
static long read_key(FIXTURE_DATA(reused) *self)
{
	self->request->count = 1;
	self->request->op[0] = (struct load_op){ .kind = LOAD_READ, .key = KEY };
	self->request->result[LOAD_OLD][0] = LOAD_NOT_RUN;
	syscall(SYS_getpgid, LOAD_MAGIC);
	return self->request->result[LOAD_OLD][0];
}

TEST_F(reused, before_it_is_read)
{
	int map = bpf_map__fd(self->old->maps.old_map);
	struct old_value value = { STAMP };
	__u32 key = KEY, other = OTHER_KEY;

	ASSERT_EQ(0, use_cpu(0));
	ASSERT_EQ(0, bpf_map_update_elem(map, &key, &value, BPF_ANY));
	EXPECT_EQ(STAMP, read_key(self));
	self->old->bss->reused_for = OTHER_KEY;
	EXPECT_EQ(-ENOENT, read_key(self));
	self->old->bss->reused_for = 0;
	EXPECT_EQ(1, self->old->bss->reused);
	EXPECT_EQ(-ENOENT, bpf_map_lookup_elem(map, &key, &value));
	ASSERT_EQ(0, bpf_map_lookup_elem(map, &other, &value));
	EXPECT_EQ(OTHER_KEY, value.stamp);
}

TEST_HARNESS_MAIN
