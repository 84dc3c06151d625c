// SPDX-License-Identifier: GPL-2.0-only
/* Key and value read through pointers to the program's own types. */
#include <netinet/ip.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "kselftest_harness.h"
#include "typed.h"
#include "typed.skel.h"

static char verifier_log[1 << 16];

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

static struct bpf_program *choose(struct __test_metadata *_metadata,
				  struct typed *skel, const char *name)
{
	struct bpf_program *prog;

	prog = bpf_object__find_program_by_name(skel->obj, name);
	ASSERT_NE(NULL, prog);
	bpf_program__set_autoload(prog, true);
	return prog;
}

static void load(struct __test_metadata *_metadata, struct typed *skel)
{
	ASSERT_EQ(0, typed__load(skel));
	ASSERT_EQ(0, typed__attach(skel));
}

/* Each field another value, the padding alike. */
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

	choose(_metadata, skel, update);
	choose(_metadata, skel, delete);
	load(_metadata, skel);
	fd = bpf_map__fd(skel->maps.target);
	narrow = bpf_map__fd(skel->maps.narrow);

	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	expect_key(_metadata, &skel->bss->update_seen, &key);
	EXPECT_EQ(0, memcmp(&value, &skel->bss->update_seen.value, sizeof(value)));
	EXPECT_EQ(0, bpf_map_delete_elem(fd, &key));
	expect_key(_metadata, &skel->bss->delete_seen, &key);

	/* The types of another map are not those of the programs. */
	EXPECT_EQ(0, skel->bss->update_seen.other_size);
	EXPECT_EQ(0, bpf_map_update_elem(narrow, &other, &other, BPF_ANY));
	EXPECT_EQ(0, bpf_map_delete_elem(narrow, &other));
	EXPECT_EQ(1, skel->bss->update_seen.runs);
	EXPECT_EQ(1, skel->bss->update_seen.other_size);
	EXPECT_EQ(1, skel->bss->delete_seen.other_size);
}

TEST_F(typed, fentry_reads)
{
	read_both(_metadata, self->skel, "fentry_update", "fentry_delete");
}

TEST_F(typed, fexit_reads)
{
	read_both(_metadata, self->skel, "fexit_update", "fexit_delete");
}

TEST_F(typed, fmod_ret_reads)
{
	read_both(_metadata, self->skel, "fmod_ret_update", "fmod_ret_delete");
}

TEST_F(typed, copy_on_write)
{
	struct { __u32 pid; int fd; } key = { 4711, -9 };
	__u64 value = 0;

	choose(_metadata, self->skel, "copy_on_write__update");
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

	choose(_metadata, self->skel, "core_bit_fields");
	load(_metadata, self->skel);
	EXPECT_EQ(0, bpf_map_update_elem(bpf_map__fd(self->skel->maps.headers),
					 &key, &value, BPF_ANY));
	EXPECT_EQ(4, self->skel->bss->version);
	EXPECT_EQ(11, self->skel->bss->ihl);
}

/* Delete a key of `narrow` with the program attached, which then has read. */
static void read_far(struct __test_metadata *_metadata, struct typed *skel,
		     const char *prog, const __u64 *addresses, int n)
{
	__u64 key = 0x1234567890abcdef;

	choose(_metadata, skel, prog);
	load(_metadata, skel);
	for (int i = 0; i < n; i++)
		skel->bss->far_reads[i].address = addresses[i];
	EXPECT_EQ(-ENOENT, bpf_map_delete_elem(bpf_map__fd(skel->maps.narrow), &key));
}

TEST_F(typed, bad_address_reads_zero)
{
	static __u64 in_user_space = 0x5555;
	const __u64 bad[] = {
		0, 8, 0xfff, (__u64)&in_user_space, 0x7ffffffff000,
		0x7ffffffffffffff8,	/* not canonical */
		0x8000000000000000, 0xdead000000000122,
		0xffffff8000000000,	/* a hole, however many levels the tables have */
		0xffffffffff600000,	/* vsyscall */
		0xfffffffffffffff0,
	};
	struct far_read *r = self->skel->bss->far_reads;

	read_far(_metadata, self->skel, "read_far", bad, ARRAY_SIZE(bad));
	EXPECT_NE(0, self->skel->bss->key_address);
	for (int i = 0; i < (int)ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(0, r[i].loaded) {
			TH_LOG("at %#llx", bad[i]);
		}
		EXPECT_GT(0, r[i].error) {
			TH_LOG("bpf_probe_read_kernel() at %#llx", bad[i]);
		}
	}
}

/* The first is the key; what lies beyond is what the helper finds there. */
TEST_F(typed, beyond_the_key)
{
	const __u64 offsets[] = {
		0, 1, 4, 8, 16, 56, -8, 0x1000, -0x1000, 0x100000, 0x40000000,
		-0x40000000, 0x4000000000, 0x7fffffffffff, 0x8000000000000000,
	};
	struct far_read *r = self->skel->bss->far_reads;

	read_far(_metadata, self->skel, "read_beyond", offsets, ARRAY_SIZE(offsets));
	EXPECT_EQ(0x1234567890abcdef, r[0].loaded);
	for (int i = 0; i < (int)ARRAY_SIZE(offsets); i++) {
		/* unless somebody wrote there in between */
		if (r[i].loaded != r[i].loaded_again)
			continue;
		EXPECT_EQ(r[i].error ? 0 : r[i].probed, r[i].loaded) {
			TH_LOG("at offset %#llx, error %lld", offsets[i], r[i].error);
		}
	}
}

static void expect_rejected(struct __test_metadata *_metadata,
			    struct typed *skel, const char *name,
			    const char *message)
{
	struct bpf_program *prog = choose(_metadata, skel, name);

	bpf_program__set_log_buf(prog, verifier_log, sizeof(verifier_log));
	EXPECT_EQ(-EACCES, typed__load(skel));
	EXPECT_NE(NULL, strstr(verifier_log, message)) {
		TH_LOG("no \"%s\" in: %s", message, verifier_log);
	}
}

#define REJECTED(name, message)						\
	TEST_F(typed, rejected_##name)					\
	{								\
		expect_rejected(_metadata, self->skel, #name, message);	\
	}

REJECTED(store_to_key, "cannot write into rdonly_untrusted_mem")
REJECTED(store_to_value, "cannot write into rdonly_untrusted_mem")
REJECTED(add_to_key, "cannot write into rdonly_untrusted_mem")
REJECTED(look_up_by_key, "R2 type=rdonly_untrusted_mem expected=")
REJECTED(store_value, "R3 type=rdonly_untrusted_mem expected=")
REJECTED(kfree_typed, "invalid mem access 'scalar'")
REJECTED(map_function_typed, "invalid mem access 'scalar'")

TEST_HARNESS_MAIN
