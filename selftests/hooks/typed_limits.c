// SPDX-License-Identifier: GPL-2.0-only
/* The limits of typed pointers: reads of bad memory, writes, use as helper arguments. */
#include <string.h>
#include "bpf_harness.h"
#include "typed_limits.h"
#include "typed_limits.skel.h"

FIXTURE(typed)
{
	struct typed_limits *skel;
};

FIXTURE_SETUP(typed)
{
	self->skel = typed_limits__open();
	ASSERT_NE(NULL, self->skel);
}

FIXTURE_TEARDOWN(typed)
{
	typed_limits__destroy(self->skel);
}

/* Delete a key of `narrow` with the program attached, so that it runs once. */
static void read_far(struct __test_metadata *_metadata, struct typed_limits *skel,
		     const char *prog, const __u64 *addresses, int n)
{
	__u64 key = 0x1234567890abcdef;

	choose_program(_metadata, skel->obj, prog);
	ASSERT_EQ(0, typed_limits__load(skel));
	ASSERT_EQ(0, typed_limits__attach(skel));
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
		0xffffff8000000000,	/* a hole, with 4-level and 5-level page tables */
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

/* The first read is of the key; beyond it, a load reads what the helper reads. */
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
		/* unless it was written in between */
		if (r[i].loaded != r[i].loaded_again)
			continue;
		EXPECT_EQ(r[i].error ? 0 : r[i].probed, r[i].loaded) {
			TH_LOG("at offset %#llx, error %lld", offsets[i], r[i].error);
		}
	}
}

static void expect_rejected(struct __test_metadata *_metadata,
			    struct typed_limits *skel, const char *name,
			    const char *message)
{
	struct bpf_program *prog = choose_program(_metadata, skel->obj, name);
	static char log[1 << 16];

	bpf_program__set_log_buf(prog, log, sizeof(log));
	EXPECT_EQ(-EACCES, typed_limits__load(skel));
	EXPECT_NE(NULL, strstr(log, message)) {
		TH_LOG("no \"%s\" in: %s", message, log);
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
