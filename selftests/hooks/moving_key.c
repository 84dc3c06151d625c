// SPDX-License-Identifier: GPL-2.0-only
/*
 * The key of an update is in memory that a program on the hook changes: arrays write the
 * element whose index they have checked, not what the key has become.
 */
#include "hook_test.h"
#include "moving_key.skel.h"

#define ENTRIES 5

FIXTURE(moving_key)
{
	struct moving_key *skel;
	int fd;
};

FIXTURE_VARIANT(moving_key)
{
	enum bpf_map_type type;
};

FIXTURE_VARIANT_ADD(moving_key, array) { .type = BPF_MAP_TYPE_ARRAY };
FIXTURE_VARIANT_ADD(moving_key, percpu_array) { .type = BPF_MAP_TYPE_PERCPU_ARRAY };

FIXTURE_SETUP(moving_key)
{
	self->skel = moving_key__open();
	ASSERT_NE(NULL, self->skel);
	bpf_map__set_type(self->skel->maps.traced, variant->type);
	ASSERT_EQ(0, moving_key__load(self->skel));
	ASSERT_EQ(0, moving_key__attach(self->skel));
	self->fd = bpf_map__fd(self->skel->maps.traced);
}

FIXTURE_TEARDOWN(moving_key)
{
	moving_key__destroy(self->skel);
}

static void update_while_key_becomes(struct __test_metadata *_metadata,
				     struct moving_key *skel, int fd, __u32 next)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	skel->bss->key = 1;
	skel->bss->next_key = next;
	skel->bss->number = 42;
	ASSERT_EQ(0, bpf_prog_test_run_opts(bpf_program__fd(skel->progs.op_update), &opts));
	EXPECT_EQ(0, skel->bss->op_result);
	EXPECT_EQ(1, skel->bss->updates);
	EXPECT_EQ(next, skel->bss->key);
	for (__u32 key = 0; key < ENTRIES; key++) {
		EXPECT_EQ(key == 1, holds_number(fd, key, 42)) {
			TH_LOG("element %u", key);
		}
	}
}

TEST_F(moving_key, another_element)
{
	update_while_key_becomes(_metadata, self->skel, self->fd, 2);
}

/* The element that it would write then is out of bounds: KASAN sees that. */
TEST_F(moving_key, no_element)
{
	update_while_key_becomes(_metadata, self->skel, self->fd, 7);
}

TEST_HARNESS_MAIN
