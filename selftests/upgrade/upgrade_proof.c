// SPDX-License-Identifier: GPL-2.0-only
/* The proof at the end of an upgrade finds what is wrong with the new map. */
#include "upgrade_small.h"

TEST_F(small, moves)
{
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	for (__u32 key = 1; key <= ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
	EXPECT_EQ(1, self->held);
	EXPECT_EQ(1, self->released);
	EXPECT_TRUE(self->switched);
}

/* Spoil the new map once it counts as complete. */
static void spoil(FIXTURE_DATA(small) *self)
{
	delete_new(self, 1);
	set_new(self, 2, 99);
	set_new(self, 3, 98);
	set_new(self, 4, 40);
}

static void delete_last(FIXTURE_DATA(small) *self)
{
	delete_old(self, 4);
}

TEST_F(small, proof_fails)
{
	struct upgrade_small *dead = self->skel;
	struct upgrade_report *r = &self->report;
	struct bpf_map *map;

	self->on_detach = delete_last;
	self->on_settled = spoil;
	for (int again = 0; again < 2; again++) {
		EXPECT_EQ(-EUCLEAN, again ? upgrade_resume(self->upgrade, r) : run(self));
		EXPECT_EQ(UPGRADE_DONE, r->phase);
		EXPECT_EQ(1, r->missing);
		EXPECT_EQ(2, r->stale);
		EXPECT_EQ(1, r->resurrected);
		if (again)
			break;
		/* Asked again, the library reports the same. */
		upgrade_close(self->upgrade);
		ASSERT_EQ(0, open_new(self, 2 * ENTRIES));
		bpf_object__for_each_map(map, self->skel->obj)
			ASSERT_EQ(0, bpf_map__reuse_fd(map, bpf_object__find_map_fd_by_name(
							       dead->obj, bpf_map__name(map))));
		ASSERT_EQ(0, upgrade_small__load(self->skel));
	}
	upgrade_small__destroy(dead);
}

static void change_late(FIXTURE_DATA(small) *self)
{
	set_old(self, 1, 11);
}

TEST_F(small, change_after_the_freeze)
{
	self->on_settled = change_late;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(1, self->report.late);
}

TEST_HARNESS_MAIN
