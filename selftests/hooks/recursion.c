// SPDX-License-Identifier: GPL-2.0-only
/* Programs that change a traced map from a hook: the recursion ends and is counted. */
#include "hook_test.h"
#include "recursion.skel.h"

FIXTURE(recursion)
{
	struct recursion *skel;
	int fd;
};

FIXTURE_VARIANT(recursion)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(recursion);

FIXTURE_SETUP(recursion)
{
	self->skel = recursion__open();
	ASSERT_NE(NULL, self->skel);
	bpf_map__set_type(self->skel->maps.traced, variant->kind.type);
	bpf_map__set_type(self->skel->maps.other, variant->kind.type);
	bpf_map__set_map_flags(self->skel->maps.traced, variant->kind.flags);
	bpf_map__set_map_flags(self->skel->maps.other, variant->kind.flags);
	ASSERT_EQ(0, recursion__load(self->skel));
	self->fd = bpf_map__fd(self->skel->maps.traced);
}

FIXTURE_TEARDOWN(recursion)
{
	recursion__destroy(self->skel);
}

static void attach(struct __test_metadata *_metadata, struct bpf_program *prog,
		   struct bpf_link **link)
{
	*link = bpf_program__attach(prog);
	ASSERT_NE(NULL, *link);
}

TEST_F(recursion, update_own_map)
{
	struct recursion *skel = self->skel;

	attach(_metadata, skel->progs.own_update, &skel->links.own_update);
	EXPECT_EQ(0, put_number(self->fd, 2, 2));
	EXPECT_TRUE(holds_number(self->fd, 2, 2));
	EXPECT_TRUE(holds_number(self->fd, 3, 3)) TH_LOG("the nested update is lost");
	EXPECT_EQ(1, skel->bss->own_update_runs);
	EXPECT_EQ(1, misses(skel->progs.own_update));

	/* The same key: its lock is not held yet. */
	EXPECT_EQ(0, put_number(self->fd, 3, 4));
	EXPECT_TRUE(holds_number(self->fd, 3, 4));
	EXPECT_EQ(2, skel->bss->own_update_runs);
	EXPECT_EQ(0, skel->bss->nested_error);
}

TEST_F(recursion, delete_own_map)
{
	struct recursion *skel = self->skel;
	__u32 key = 2;

	ASSERT_EQ(0, put_number(self->fd, 2, 2));
	ASSERT_EQ(0, put_number(self->fd, 3, 3));
	attach(_metadata, skel->progs.own_delete, &skel->links.own_delete);
	if (variant->kind.array) {
		EXPECT_EQ(-EINVAL, bpf_map_delete_elem(self->fd, &key));
		EXPECT_EQ(0, skel->bss->own_delete_runs);
		return;
	}
	EXPECT_EQ(0, bpf_map_delete_elem(self->fd, &key));
	EXPECT_FALSE(holds_number(self->fd, 2, 2));
	EXPECT_FALSE(holds_number(self->fd, 3, 3)) TH_LOG("the nested deletion is lost");
	EXPECT_EQ(1, skel->bss->own_delete_runs);
	EXPECT_EQ(1, misses(skel->progs.own_delete));

	key = 3;
	ASSERT_EQ(0, put_number(self->fd, 3, 3));
	EXPECT_EQ(-ENOENT, bpf_map_delete_elem(self->fd, &key));
	EXPECT_EQ(2, skel->bss->own_delete_runs);
	EXPECT_EQ(0, skel->bss->nested_error);
}

/* Only the program that is already running is skipped in the nested call. */
TEST_F(recursion, update_other_map)
{
	struct recursion *skel = self->skel;
	int other = bpf_map__fd(skel->maps.other);

	attach(_metadata, skel->progs.there, &skel->links.there);
	attach(_metadata, skel->progs.watch_other, &skel->links.watch_other);
	EXPECT_EQ(0, put_number(self->fd, 2, 2));
	EXPECT_TRUE(holds_number(other, 4, 4));
	EXPECT_EQ(1, skel->bss->there_runs);
	EXPECT_EQ(1, misses(skel->progs.there));
	EXPECT_EQ(1, skel->bss->seen_other);
	EXPECT_EQ(0, misses(skel->progs.watch_other));
}

TEST_F(recursion, circle_ends)
{
	struct recursion *skel = self->skel;

	attach(_metadata, skel->progs.there, &skel->links.there);
	attach(_metadata, skel->progs.back, &skel->links.back);
	EXPECT_EQ(0, put_number(self->fd, 2, 2));
	EXPECT_TRUE(holds_number(self->fd, 2, 2));
	EXPECT_TRUE(holds_number(bpf_map__fd(skel->maps.other), 4, 4));
	EXPECT_TRUE(holds_number(self->fd, 5, 5));
	EXPECT_EQ(1, skel->bss->there_runs);
	EXPECT_EQ(1, skel->bss->back_runs);
	EXPECT_EQ(2, misses(skel->progs.there));
	EXPECT_EQ(1, misses(skel->progs.back));
}

/* A program that is skipped stops nothing: a veto is not a guard. */
TEST_F(recursion, skipped_veto)
{
	struct recursion *skel = self->skel;

	attach(_metadata, skel->progs.guard, &skel->links.guard);
	EXPECT_EQ(-EPERM, put_number(self->fd, 6, 6));
	EXPECT_FALSE(holds_number(self->fd, 6, 6));
	EXPECT_EQ(0, misses(skel->progs.guard));
	EXPECT_EQ(0, put_number(bpf_map__fd(skel->maps.other), 2, 2));
	EXPECT_TRUE(holds_number(self->fd, 6, 6)) TH_LOG("a skipped program stopped it");
	EXPECT_EQ(1, misses(skel->progs.guard));
}

TEST_HARNESS_MAIN
