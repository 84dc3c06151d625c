// SPDX-License-Identifier: GPL-2.0-only
/*
 * BPF_F_LOCK: updates in place, under the lock in the value, are reported, too. LRU
 * and per-CPU maps do not support such locks; update.c has them refuse the flag.
 */
#include "hook_test.h"
#include "lock.skel.h"

FIXTURE(lock)
{
	struct lock *skel;
	int fd;
	enum from from;
};

FIXTURE_VARIANT(lock)
{
	struct map_kind kind;
	enum from from;
};

#define LOCK_VARIANTS(name, ...)					\
	FIXTURE_VARIANT_ADD(lock, name##_syscall)			\
	{ .kind = { __VA_ARGS__ }, .from = FROM_SYSCALL };		\
	FIXTURE_VARIANT_ADD(lock, name##_prog)				\
	{ .kind = { __VA_ARGS__ }, .from = FROM_PROG }

LOCK_VARIANTS(array, BPF_MAP_TYPE_ARRAY, .array = true);
LOCK_VARIANTS(hash, BPF_MAP_TYPE_HASH);
LOCK_VARIANTS(hash_no_prealloc, BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC);
LOCK_VARIANTS(rhash, BPF_MAP_TYPE_RHASH, BPF_F_NO_PREALLOC);

struct locked_value {
	__u32 lock;
	__u32 number;
};

static int put(FIXTURE_DATA(lock) *self, __u32 key, __u32 number, __u64 flags)
{
	struct locked_value value = { .number = number };
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	if (self->from == FROM_SYSCALL)
		return bpf_map_update_elem(self->fd, &key, &value, flags);
	self->skel->bss->op_key = key;
	self->skel->bss->op_number = number;
	self->skel->bss->op_flags = flags;
	err = bpf_prog_test_run_opts(
		bpf_program__fd(self->skel->progs.op_update), &opts);
	return err ?: self->skel->bss->op_result;
}

static __u32 number_in_map(FIXTURE_DATA(lock) *self, __u32 key)
{
	struct locked_value value = {};

	bpf_map_lookup_elem(self->fd, &key, &value);
	return value.number;
}

FIXTURE_SETUP(lock)
{
	self->from = variant->from;
	self->skel = lock__open();
	ASSERT_NE(NULL, self->skel);
	bpf_map__set_type(self->skel->maps.locked, variant->kind.type);
	bpf_map__set_map_flags(self->skel->maps.locked, variant->kind.flags);
	ASSERT_EQ(0, lock__load(self->skel));
	self->fd = bpf_map__fd(self->skel->maps.locked);
	ASSERT_EQ(0, put(self, 2, 21, BPF_ANY));
	ASSERT_EQ(0, lock__attach(self->skel));
}

FIXTURE_TEARDOWN(lock)
{
	lock__destroy(self->skel);
}

/* Expect one report with these flags, made before anything changed. */
static void update(struct __test_metadata *_metadata, FIXTURE_DATA(lock) *self,
		   __u32 key, __u64 flags, int error)
{
	__u32 before = number_in_map(self, key);

	EXPECT_EQ(error, put(self, key, 22, flags));
	EXPECT_EQ(1, self->skel->bss->updates);
	EXPECT_EQ(flags, self->skel->bss->flags);
	EXPECT_EQ(key, self->skel->bss->key_seen);
	EXPECT_EQ(22, self->skel->bss->number_seen);
	EXPECT_EQ(before, self->skel->bss->number_found);
	EXPECT_EQ(error ? before : 22, number_in_map(self, key));
}

TEST_F(lock, replace)
{
	update(_metadata, self, 2, BPF_F_LOCK, 0);
}

TEST_F(lock, replace_exist)
{
	update(_metadata, self, 2, BPF_F_LOCK | BPF_EXIST, 0);
}

TEST_F(lock, create)
{
	update(_metadata, self, 3, BPF_F_LOCK, 0);
}

/* An array rejects BPF_NOEXIST at once; a hash map looks, after the report. */
TEST_F(lock, existing_noexist)
{
	if (!variant->kind.array) {
		update(_metadata, self, 2, BPF_F_LOCK | BPF_NOEXIST, -EEXIST);
		return;
	}
	EXPECT_EQ(-EEXIST, put(self, 2, 22, BPF_F_LOCK | BPF_NOEXIST));
	EXPECT_EQ(0, self->skel->bss->updates);
}

TEST_F(lock, missing_exist)
{
	update(_metadata, self, 3, BPF_F_LOCK | BPF_EXIST,
	       variant->kind.array ? 0 : -ENOENT);
}

TEST_F(lock, lookup_and_delete)
{
	struct locked_value value = {};
	__u32 key = 2;
	int err;

	err = bpf_map_lookup_and_delete_elem_flags(self->fd, &key, &value,
						   BPF_F_LOCK);
	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		EXPECT_EQ(0, self->skel->bss->deletions);
		return;
	}
	EXPECT_EQ(0, err);
	EXPECT_EQ(21, value.number);
	EXPECT_EQ(1, self->skel->bss->deletions);
	EXPECT_EQ(key, self->skel->bss->key_seen);
	EXPECT_EQ(21, self->skel->bss->number_found);
	EXPECT_EQ(0, number_in_map(self, key));
}

/* The after-hook, too, is called once: an update in place returns early. */
static void update_and_look(struct __test_metadata *_metadata,
			    FIXTURE_DATA(lock) *self, __u32 key)
{
	struct lock *after = lock__open();

	ASSERT_NE(NULL, after);
	ASSERT_EQ(0, bpf_map__reuse_fd(after->maps.locked, self->fd));
	bpf_program__set_autoload(after->progs.on_update, false);
	bpf_program__set_autoload(after->progs.on_delete, false);
	bpf_program__set_autoload(after->progs.on_updated, true);
	ASSERT_EQ(0, lock__load(after));
	ASSERT_EQ(0, lock__attach(after));
	EXPECT_EQ(0, put(self, key, 22, BPF_F_LOCK));
	EXPECT_EQ(1, after->bss->updates);
	EXPECT_EQ(key, after->bss->key_seen);
	EXPECT_EQ(22, after->bss->number_found) TH_LOG("found by the after-hook");
	lock__destroy(after);
}

TEST_F(lock, after_replace)
{
	update_and_look(_metadata, self, 2);
}

TEST_F(lock, after_create)
{
	update_and_look(_metadata, self, 3);
}

TEST_HARNESS_MAIN
