// SPDX-License-Identifier: GPL-2.0-only
/*
 * Something is full after the switch. What then cannot be done is refused and makes
 * the upgrade fail; nothing is lost and nothing undone without a word.
 */
#include <errno.h>
#include "upgrade_small.h"

/* In the old map, key 7 replaces key 4, which the new map still holds. */
static void replace(FIXTURE_DATA(small) *self)
{
	delete_old(self, 4);
	set_old(self, 7, 70);
}

static void write_early(FIXTURE_DATA(small) *self)
{
	replace(self);
	self->result[0] = run_op(self, WIDE_WRITE, 7, 0, 71);
	self->result[1] = run_op(self, WIDE_UPDATE, 7, 0, 72);
}

/* Once key 4 is gone, the library can copy key 7: the new version does not own it. */
TEST_F_TIMEOUT(small, copy_that_fails_at_first, SECONDS)
{
	ASSERT_EQ(0, reopen_new(self, ENTRIES));
	self->on_detach = write_early;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(-E2BIG, self->result[0]);
	EXPECT_EQ(-E2BIG, self->result[1]);
	EXPECT_EQ(70, get_new(self, 7, 0));
	EXPECT_EQ(0, self->report.missing);
	EXPECT_LT(0, self->report.copy_failures);
}

/* What counts is what the old map holds, not its size. */
TEST_F_TIMEOUT(small, smaller_map, SECONDS)
{
	ASSERT_EQ(0, reopen_new(self, ENTRIES - 1));
	EXPECT_EQ(-E2BIG, run(self));
	EXPECT_EQ(UPGRADE_WATCHING, self->report.phase);
	ASSERT_EQ(0, delete_old(self, 1));
	ASSERT_EQ(0, reopen_new(self, ENTRIES - 1));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, get_new(self, 1, 0));
	for (__u32 key = 2; key <= ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
}

static void write_without_room(FIXTURE_DATA(small) *self)
{
	replace(self);
	self->result[0] = run_op(self, WIDE_DELETE, 4, 0, 0);
	self->result[1] = run_op(self, WIDE_UPDATE, 9, 1, 91);
	self->result[2] = run_op(self, WIDE_WRITE, 7, 0, 71);
}

/* An element of the new version's own, {9, 1}, has taken the room of key 7. */
TEST_F_TIMEOUT(small, copy_that_fails, SECONDS)
{
	ASSERT_EQ(0, reopen_new(self, ENTRIES));
	self->on_detach = write_without_room;
	EXPECT_EQ(-E2BIG, run(self));
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_EQ(0, self->result[1]);
	EXPECT_EQ(-E2BIG, self->result[2]);
	EXPECT_EQ(91, get_new(self, 9, 1));

	/* Once there is room, the upgrade can be finished. */
	EXPECT_EQ(0, run_op(self, WIDE_DELETE, 9, 1, 0));
	EXPECT_EQ(-EUCLEAN, resume(self)) TH_LOG("it must still report what was refused");
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(70, get_new(self, 7, 0));
}

static void write_all(FIXTURE_DATA(small) *self)
{
	self->found = run_op(self, WIDE_DELETE, 8, 0, 0);
	self->result[0] = run_op(self, WIDE_UPDATE, 2, 0, 21);
	self->result[1] = run_op(self, WIDE_UPDATE, 1, 0, 11);
	self->result[2] = run_op(self, WIDE_DELETE, 3, 0, 0);
	self->result[3] = run_op(self, WIDE_UPDATE, 2, 0, 22);
	for (__u32 key = 1; key < 4; key++)
		self->read[key] = read_new(self, key);
}

/* There is room for one owner. A deletion that fails does not take it. */
TEST_F_TIMEOUT(small, no_room_for_owners, SECONDS)
{
	self->opts.max_owned = 1;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	self->on_detach = write_all;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(-ENOENT, self->found);
	EXPECT_EQ(0, self->result[0]);
	EXPECT_EQ(-E2BIG, self->result[1]);
	EXPECT_EQ(-E2BIG, self->result[2]);
	EXPECT_EQ(0, self->result[3]);
	EXPECT_EQ(10, self->read[1]);
	EXPECT_EQ(22, self->read[2]);
	EXPECT_EQ(30, self->read[3]);
	EXPECT_EQ(2, self->report.own_failures);
	for (__u32 key = 1; key < 4; key++)
		EXPECT_EQ(self->read[key], get_new(self, key, 0));
}

TEST_HARNESS_MAIN
