// SPDX-License-Identifier: GPL-2.0-only
/* An upgrade that fails after the switch is right by itself, and can be finished. */
#include <errno.h>
#include <sys/resource.h>
#include "upgrade_bpffs.h"
#include "upgrade_small.h"

/* Let this process open no more files. */
static void forbid_files(struct rlimit *old)
{
	struct rlimit none;

	getrlimit(RLIMIT_NOFILE, old);
	none = *old;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
}

static struct rlimit files;

/* The last changes of the old version, then nothing works any more. */
static void change_and_break(FIXTURE_DATA(small) *self)
{
	set_old(self, 1, 11);
	delete_old(self, 2);
	self->read[1] = read_new(self, 1);
	self->read[2] = read_new(self, 2);
	forbid_files(&files);
}

TEST_F_TIMEOUT(small, error_after_the_switch, SECONDS)
{
	char folder[] = "/tmp/upgrade_resume.XXXXXX";

	ASSERT_EQ(0, mount_bpffs(folder));
	self->opts.pins = folder;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	self->on_detach = change_and_break;
	EXPECT_EQ(-EMFILE, run(self));
	setrlimit(RLIMIT_NOFILE, &files);
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_EQ(UPGRADE_SWITCHED, self->phase);
	EXPECT_EQ(11, self->read[1]) TH_LOG("it must be read from the old map");
	EXPECT_EQ(0, self->read[2]);
	EXPECT_EQ(11, read_new(self, 1));
	EXPECT_EQ(0, run_op(self, WIDE_UPDATE, 3, 0, 31));

	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(UPGRADE_DONE, self->phase) TH_LOG("the writers were not told");
	EXPECT_EQ(11, get_new(self, 1, 0));
	EXPECT_EQ(0, get_new(self, 2, 0));
	EXPECT_EQ(31, get_new(self, 3, 0));
	EXPECT_EQ(40, get_new(self, 4, 0));
	EXPECT_EQ(0, unmount_bpffs(folder));
}

static void break_files(FIXTURE_DATA(small) *self)
{
	forbid_files(&files);
}

/* What fails is the wait for events of before the switch. */
TEST_F_TIMEOUT(small, detached_in_the_end, SECONDS)
{
	self->on_hold = break_files;
	EXPECT_EQ(-EMFILE, run(self));
	setrlimit(RLIMIT_NOFILE, &files);
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_EQ(0, self->detached);
	EXPECT_EQ(0, upgrade_resume(self->upgrade, &self->report)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->detached) TH_LOG("the old version is still attached");
	EXPECT_EQ(0, upgrade_resume(self->upgrade, &self->report)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->detached);
}

/* The old version is gone, so there must be no way back to the time before the switch. */
TEST_F_TIMEOUT(small, not_run_again, SECONDS)
{
	self->on_detach = change_and_break;
	EXPECT_EQ(-EMFILE, run(self));
	setrlimit(RLIMIT_NOFILE, &files);
	EXPECT_EQ(-EALREADY, run(self));
	EXPECT_STREQ("it has switched already: upgrade_resume() finishes it", self->report.error);
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_EQ(11, read_new(self, 1));

	EXPECT_EQ(0, upgrade_resume(self->upgrade, &self->report)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-EALREADY, run(self));
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(0, run_op(self, WIDE_UPDATE, 1, 0, 12));
	EXPECT_EQ(12, get_new(self, 1, 0));
}

/* The process that was killed may not have got that far. */
TEST_F_TIMEOUT(small, done_is_told_again, SECONDS)
{
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	self->phase = UPGRADE_NONE;
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(UPGRADE_DONE, self->phase);
}

TEST_HARNESS_MAIN
