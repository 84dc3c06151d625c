// SPDX-License-Identifier: GPL-2.0-only
/* Programs read key and value through pointers to their own types. */
#include <netinet/ip.h>
#include <string.h>
#include "bpf_harness.h"
#include "typed.h"
#include "typed.skel.h"

FIXTURE(typed)
{
	struct typed *skel;
};

FIXTURE_SETUP(typed)
{
	self->skel = typed__open();
	ASSERT_NE(NULL, self->skel);
}

FIXTURE_TEARDOWN(typed)
{
	typed__destroy(self->skel);
}

static void load(struct __test_metadata *_metadata, struct typed *skel)
{
	ASSERT_EQ(0, typed__load(skel));
	ASSERT_EQ(0, typed__attach(skel));
}

/* Every field has a different value; the padding is zero. */
static struct element make_element(__u8 seed)
{
	struct element t;

	memset(&t, 0, sizeof(t));
	t.u8 = 0xf0 + seed;
	t.s8 = -3 - seed;
	t.u16 = 0xfe00 + seed;
	t.s16 = -300 - seed;
	t.u32 = 0xfedcba00 + seed;
	t.s32 = -70000 - seed;
	t.u64 = 0xfedcba9876543200 + seed;
	t.s64 = -5000000000 - seed;
	t.nested.x = 0x80000001 + seed;
	t.nested.inner.y = 0x8002 + seed;
	for (int i = 0; i < 3; i++) {
		t.nested.inner.z[i] = 0x81 + i + seed;
		t.words[i] = 0x90000000 + 16 * i + seed;
	}
	t.low = 5;
	t.middle = -1000 - seed;
	t.high = 0xabc0 + seed;
	return t;
}

static void expect_key(struct __test_metadata *_metadata, struct seen *seen,
		       struct element *key)
{
	EXPECT_EQ(1, seen->runs);
	EXPECT_EQ(0, memcmp(key, &seen->key, sizeof(*key)));
	EXPECT_EQ(key->s8, seen->wide[0]);
	EXPECT_EQ(key->s16, seen->wide[1]);
	EXPECT_EQ(key->s32, seen->wide[2]);
	EXPECT_EQ(+key->middle, seen->wide[3]);
}

/* The programs named <via>_update and <via>_delete. */
static void read_both(struct __test_metadata *_metadata, struct typed *skel,
		      const char *update, const char *delete)
{
	struct element key = make_element(1), value = make_element(2);
	__u64 other = 3;
	int fd, narrow;

	choose_program(_metadata, skel->obj, update);
	choose_program(_metadata, skel->obj, delete);
	load(_metadata, skel);
	fd = bpf_map__fd(skel->maps.target);
	narrow = bpf_map__fd(skel->maps.narrow);

	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	expect_key(_metadata, &skel->bss->update_seen, &key);
	EXPECT_EQ(0, memcmp(&value, &skel->bss->update_seen.value, sizeof(value)));
	EXPECT_EQ(0, bpf_map_delete_elem(fd, &key));
	expect_key(_metadata, &skel->bss->delete_seen, &key);

	/* The programs must notice that another map has other types. */
	EXPECT_EQ(0, skel->bss->update_seen.other_size);
	EXPECT_EQ(0, bpf_map_update_elem(narrow, &other, &other, BPF_ANY));
	EXPECT_EQ(0, bpf_map_delete_elem(narrow, &other));
	EXPECT_EQ(1, skel->bss->update_seen.runs);
	EXPECT_EQ(1, skel->bss->update_seen.other_size);
	EXPECT_EQ(1, skel->bss->delete_seen.other_size);
}

#define READS(name)							\
	TEST_F(typed, name##_reads)					\
	{								\
		read_both(_metadata, self->skel, #name "_update",	\
			  #name "_delete");				\
	}

READS(fentry)
READS(fexit)
READS(fmod_ret)

/* With the cast of map_trace.bpf.h, which needs no typed arguments. */
READS(fentry_cast)
READS(fexit_cast)
READS(fmod_ret_cast)

TEST_F(typed, copy_on_write)
{
	struct { __u32 pid; int fd; } key = { 4711, -9 };
	__u64 value = 0;

	choose_program(_metadata, self->skel->obj, "copy_on_write__update");
	load(_metadata, self->skel);
	EXPECT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.narrow),
					 &key, &value, BPF_ANY));
	EXPECT_EQ(4711, self->skel->bss->old_pid);
	EXPECT_EQ(-9, self->skel->bss->old_fd);
}

TEST_F(typed, core_bit_fields)
{
	struct iphdr key = { .version = 4, .ihl = 11 };
	__u64 value = 0;

	choose_program(_metadata, self->skel->obj, "core_bit_fields");
	load(_metadata, self->skel);
	EXPECT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.headers),
					 &key, &value, BPF_ANY));
	EXPECT_EQ(4, self->skel->bss->version);
	EXPECT_EQ(11, self->skel->bss->ihl);
}

TEST_HARNESS_MAIN
