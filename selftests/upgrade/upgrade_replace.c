// SPDX-License-Identifier: GPL-2.0-only
/* The new version takes the place of the old one in a single step, or it does not. */
#include <errno.h>
#include "upgrade_small.h"

/*
 * Somebody who finds the old map frozen claims a key, and the old version, which is
 * still there, changes it.
 */
static int replace(void *ctx)
{
	FIXTURE_DATA(small) *self = ctx;

	self->result[0] = claim(self, 1);
	set_old(self, 1, 11);
	return self->hold_result;
}

static int reopen_to_replace(FIXTURE_DATA(small) *self, int result)
{
	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->opts.hold_writers = NULL;
	self->opts.replace_old = replace;
	self->hold_result = result;
	return reopen_new(self, 2 * ENTRIES);
}

static void claim_one(FIXTURE_DATA(small) *self)
{
	self->result[1] = claim(self, 2);
}

TEST_F_TIMEOUT(small, replaced, SECONDS)
{
	ASSERT_EQ(0, reopen_to_replace(self, 0));
	self->on_settled = claim_one;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->result[0]) TH_LOG("the old version can still change the key");
	EXPECT_EQ(0, self->result[1]);
	EXPECT_EQ(UPGRADE_SWITCHED, self->first);
	EXPECT_EQ(UPGRADE_DONE, self->phase);
	EXPECT_EQ(11, get_new(self, 1, 0));
}

/* Then it is as if nothing had happened, and can be tried again. */
TEST_F_TIMEOUT(small, not_replaced, SECONDS)
{
	ASSERT_EQ(0, reopen_to_replace(self, -ENOLINK));
	EXPECT_EQ(-ENOLINK, run(self));
	EXPECT_STREQ("cannot replace the old version", self->report.error);
	EXPECT_EQ(UPGRADE_WATCHING, self->report.phase);
	EXPECT_EQ(UPGRADE_WATCHING, self->phase);
	EXPECT_EQ(1, claim(self, 1));

	self->hold_result = 0;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(11, get_new(self, 1, 0));
	EXPECT_EQ(0, claim(self, 1));
}

static int die_before_replacing(void *ctx)
{
	die(ctx);
	return 0;
}

/* Then the old version carries on until somebody resumes the upgrade. */
TEST_F_TIMEOUT(small, killed_before_it_is_replaced, SECONDS)
{
	ASSERT_EQ(0, reopen_to_replace(self, -ENOLINK));
	self->opts.replace_old = die_before_replacing;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	run_and_die(_metadata, self);
	EXPECT_EQ(1, claim(self, 1));

	self->opts.replace_old = NULL;
	self->opts.attach_new = attach;
	self->opts.detach_old = detach;
	EXPECT_EQ(-EINVAL, resume(self));
	EXPECT_STREQ("it was begun with others of detach_old, calls_old and replace_old",
		     self->report.error);

	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->opts.replace_old = replace;
	EXPECT_EQ(-ENOLINK, resume(self));
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_EQ(1, claim(self, 1));
	self->hold_result = 0;
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->result[0]);
	EXPECT_EQ(0, claim(self, 1));
	EXPECT_EQ(11, get_new(self, 1, 0));
	EXPECT_EQ(UPGRADE_DONE, self->phase);
}

TEST_F_TIMEOUT(small, one_way_or_the_other, SECONDS)
{
	char error[128] = "";

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->opts.replace_old = replace;
	EXPECT_EQ(-EINVAL, reopen_new(self, 2 * ENTRIES));
	EXPECT_STREQ("opts needs attach_new and detach_old, attach_new and calls_old, or replace_old",
		     error);
	self->opts.attach_new = NULL;
	self->opts.replace_old = NULL;
	EXPECT_EQ(-EINVAL, reopen_new(self, 2 * ENTRIES));
	self->opts.attach_new = attach;
	self->opts.calls_old = true;
	EXPECT_EQ(-EINVAL, reopen_new(self, 2 * ENTRIES)) TH_LOG("with detach_old");
	self->opts.detach_old = NULL;
	self->opts.calls_old = false;
	EXPECT_EQ(-EINVAL, reopen_new(self, 2 * ENTRIES)) TH_LOG("without it");
}

TEST_HARNESS_MAIN
