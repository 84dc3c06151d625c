// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that change the map from a hook, each within the run of the one before: the
 * kernel stops that before its stack overflows.
 */
#include <unistd.h>
#include "depth.skel.h"
#include "hook_test.h"

#define MAX_DEPTH 8	/* BPF_MAP_TRACE_MAX_DEPTH of the kernel */
#define PROGRAMS 16	/* on each hook: more than that, and not enough to overflow */

FIXTURE(depth)
{
	struct depth *skel[PROGRAMS];
};

FIXTURE_VARIANT(depth)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(depth);

/* Load the programs on the hooks before an operation, or those on the one after it. */
static void open_programs(struct __test_metadata *_metadata,
			  FIXTURE_DATA(depth) *self, const struct map_kind *kind,
			  bool after)
{
	struct depth *first = NULL;

	for (int i = 0; i < PROGRAMS; i++) {
		struct depth *skel = self->skel[i] = depth__open();

		ASSERT_NE(NULL, skel);
		skel->rodata->array = kind->array;
		bpf_program__set_autoload(skel->progs.on_update, !after);
		bpf_program__set_autoload(skel->progs.on_delete, !after);
		bpf_program__set_autoload(skel->progs.on_updated, after);
		bpf_map__set_type(skel->maps.traced, kind->type);
		bpf_map__set_map_flags(skel->maps.traced, kind->flags);
		if (first) {
			int traced = bpf_map__fd(first->maps.traced);
			int bss = bpf_map__fd(first->maps.bss);

			ASSERT_EQ(0, bpf_map__reuse_fd(skel->maps.traced, traced));
			ASSERT_EQ(0, bpf_map__reuse_fd(skel->maps.bss, bss));
		}
		ASSERT_EQ(0, depth__load(skel));
		ASSERT_EQ(0, depth__attach(skel));
		first = self->skel[0];
	}
}

FIXTURE_SETUP(depth)
{
}

FIXTURE_TEARDOWN(depth)
{
	for (int i = 0; i < PROGRAMS; i++)
		depth__destroy(self->skel[i]);
}

static void nest(struct __test_metadata *_metadata, FIXTURE_DATA(depth) *self)
{
	struct depth__bss *seen = self->skel[0]->bss;
	int fd = bpf_map__fd(self->skel[0]->maps.traced);

	seen->tid = gettid();
	EXPECT_EQ(0, put_number(fd, 1, 1));
	EXPECT_EQ(0, seen->depth);
	EXPECT_EQ(MAX_DEPTH, seen->deepest);
	EXPECT_EQ(-ELOOP, seen->last_error);

	/* Nothing is left of it: as deep again. */
	seen->deepest = 0;
	EXPECT_EQ(0, put_number(fd, 1, 2));
	EXPECT_EQ(MAX_DEPTH, seen->deepest);
	seen->tid = 0;
}

TEST_F(depth, ends)
{
	open_programs(_metadata, self, &variant->kind, false);
	nest(_metadata, self);
}

/* What cannot be reported afterwards fails before it changes anything. */
TEST_F(depth, after)
{
	open_programs(_metadata, self, &variant->kind, true);
	nest(_metadata, self);
}

TEST_HARNESS_MAIN
