// SPDX-License-Identifier: GPL-2.0-only
/* The proof at the end of an upgrade finds what is wrong with the new map. */
#include "upgrade_small.h"

TEST_F(small, moves)
{
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	for (__u32 key = 1; key <= ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
	EXPECT_EQ(1, self->held);
	EXPECT_EQ(2, self->released);
	EXPECT_EQ(UPGRADE_SWITCHED, self->first);
	EXPECT_EQ(UPGRADE_DONE, self->phase);
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

/* The proof says what is wrong, and what is left to do can be done again. */
TEST_F_TIMEOUT(small, proof_fails, SECONDS)
{
	struct upgrade_report *r = &self->report;

	self->on_detach = delete_last;
	self->on_settled = spoil;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(UPGRADE_SWITCHED, r->phase);
	EXPECT_EQ(1, r->missing);
	EXPECT_EQ(2, r->stale);
	EXPECT_EQ(1, r->resurrected);
	EXPECT_EQ(10, read_new(self, 1)) TH_LOG("it must still be read from the old map");

	EXPECT_EQ(0, resume(self)) TH_LOG("%s", r->error);
	EXPECT_EQ(UPGRADE_DONE, r->phase);
	for (__u32 key = 1; key < ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
	EXPECT_EQ(0, get_new(self, 4, 0));
}

static void change_late(FIXTURE_DATA(small) *self)
{
	set_old(self, 1, 11);
}

/* A writer that was not held, nor kept out: its change is carried over. */
TEST_F(small, change_during_the_proof)
{
	self->on_settled = change_late;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->report.stragglers);
	EXPECT_EQ(11, get_new(self, 1, 0));
}

TEST_HARNESS_MAIN
