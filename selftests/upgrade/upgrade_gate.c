// SPDX-License-Identifier: GPL-2.0-only
/*
 * The upgrading process is killed while it holds the writers: they go on, and what
 * they write then stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "upgrade_bpffs.h"
#include "upgrade_small.h"
#include "parts.h"

#define GATE "/tmp/upgrade_gate"

/* The writers' gate: shared by those who write, exclusive to who holds them. */
static int gate_lock(int how)
{
	int fd = open(GATE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || flock(fd, how) ? -1 : fd;
}

static void hold_gate(FIXTURE_DATA(small) *self)
{
	gate_lock(LOCK_EX);
}

static void hold_and_die(FIXTURE_DATA(small) *self)
{
	hold_gate(self);
	die(self);
}

static void change_and_die(FIXTURE_DATA(small) *self)
{
	set_old(self, 1, 11);
	die(self);
}

/* A writer: it updates or, with value 0, deletes. */
static int write_as_told(FIXTURE_DATA(small) *self, __u32 key, __u64 value)
{
	int gate = gate_lock(LOCK_SH), err;

	if (gate < 0)
		return -1;
	err = claim(self, key);
	if (err == 1)
		err = value ? set_old(self, key, value) : delete_old(self, key);
	else if (!err)
		err = value ? set_new(self, key, value) : delete_new(self, key);
	close(gate);
	return err;
}

static void die_and_write(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self)
{
	run_and_die(_metadata, self);
	EXPECT_EQ(0, write_as_told(self, 2, 22));
	EXPECT_EQ(0, write_as_told(self, 3, 0));
}

static void expect_complete(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self,
			    __u64 first)
{
	EXPECT_EQ(first, get_new(self, 1, 0));
	EXPECT_EQ(22, get_new(self, 2, 0));
	EXPECT_EQ(0, get_new(self, 3, 0));
	EXPECT_EQ(40, get_new(self, 4, 0));
	unlink(GATE);
}

TEST_F_TIMEOUT(small, killed_before_the_switch, SECONDS)
{
	self->on_hold = hold_and_die;
	die_and_write(_metadata, self);
	EXPECT_EQ(1, claim(self, 1));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	expect_complete(_metadata, self, 10);
}

static bool is_there(const char *folder, const char *pin)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", folder, pin);
	return !access(path, F_OK);
}

/* What refuses the old version's changes is pinned until that is known to be detached. */
TEST_F_TIMEOUT(small, killed_after_the_switch, SECONDS)
{
	char folder[] = "/tmp/upgrade_gate.XXXXXX";

	ASSERT_EQ(0, mount_bpffs(folder));
	self->opts.pins = folder;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	self->on_hold = hold_gate;
	self->on_detach = change_and_die;
	die_and_write(_metadata, self);
	EXPECT_TRUE(is_there(folder, "upgrade_gate_update"));
	EXPECT_TRUE(is_there(folder, "upgrade_passed_delete"));
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_FALSE(is_there(folder, "upgrade_gate_update"));
	EXPECT_FALSE(is_there(folder, "upgrade_passed_delete"));
	EXPECT_EQ(0, claim(self, 1));
	expect_complete(_metadata, self, 11);
	EXPECT_EQ(0, unmount_bpffs(folder));
}

/* What an upgrade has pinned goes away with it, unless it is killed. */
TEST_F_TIMEOUT(small, pins_before_the_switch, SECONDS)
{
	char folder[] = "/tmp/upgrade_gate.XXXXXX", path[64];

	ASSERT_EQ(0, mount_bpffs(folder));
	self->opts.pins = folder;
	self->hold_result = -EAGAIN;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	EXPECT_EQ(-EAGAIN, run(self));
	EXPECT_FALSE(is_there(folder, "upgrade_gate_update"));

	self->on_hold = hold_and_die;
	die_and_write(_metadata, self);
	self->hold_result = 0;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	EXPECT_TRUE(is_there(folder, "upgrade_gate_update"));
	EXPECT_EQ(-EEXIST, run(self));
	EXPECT_NE(NULL, strstr(self->report.error, "cannot pin")) TH_LOG("%s", self->report.error);
	for (int i = GATE_FIRST; i <= PASSED_DELETE; i++) {
		snprintf(path, sizeof(path), "%s/upgrade_%s", folder, upgrade_programs[i]);
		EXPECT_EQ(0, unlink(path));
	}
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_FALSE(is_there(folder, "upgrade_gate_update"));
	expect_complete(_metadata, self, 10);
	EXPECT_EQ(0, unmount_bpffs(folder));
}

/* The second run pins in another folder, of the same name. */
TEST_F_TIMEOUT(small, pins_are_made_anew, SECONDS)
{
	char folder[] = "/tmp/upgrade_gate.XXXXXX", pins[64];

	ASSERT_EQ(0, mount_bpffs(folder));
	snprintf(pins, sizeof(pins), "%s/next", folder);
	ASSERT_EQ(0, mkdir(pins, 0700));
	self->opts.pins = pins;
	self->hold_result = -EAGAIN;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	EXPECT_EQ(-EAGAIN, run(self));
	ASSERT_EQ(0, rmdir(pins));
	ASSERT_EQ(0, mkdir(pins, 0700));
	self->hold_result = 0;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, rmdir(pins)) TH_LOG("there is something left in it");
	EXPECT_EQ(0, unmount_bpffs(folder));
}

static void rename_pins(FIXTURE_DATA(small) *self)
{
	char now[64];

	snprintf(now, sizeof(now), "%.40s_now", self->opts.pins);
	self->found = rename(self->opts.pins, now);
}

TEST_F_TIMEOUT(small, pins_are_renamed, SECONDS)
{
	char folder[] = "/tmp/upgrade_gate.XXXXXX", pins[64], now[70];

	ASSERT_EQ(0, mount_bpffs(folder));
	snprintf(pins, sizeof(pins), "%s/next", folder);
	snprintf(now, sizeof(now), "%s_now", pins);
	ASSERT_EQ(0, mkdir(pins, 0700));
	self->opts.pins = pins;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	self->on_detach = rename_pins;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, rmdir(now)) TH_LOG("there is something left in it");
	EXPECT_EQ(0, unmount_bpffs(folder));
}

/* Then nobody can tell which events were handled twice. */
TEST_F_TIMEOUT(small, killed_without_pins, SECONDS)
{
	self->on_hold = hold_gate;
	self->on_detach = change_and_die;
	die_and_write(_metadata, self);
	EXPECT_EQ(-EUCLEAN, resume(self));
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(1, self->report.handled_twice);
	EXPECT_NE(NULL, strstr(self->report.error, "did not pin")) TH_LOG("%s", self->report.error);
	expect_complete(_metadata, self, 11);
}

TEST_F_TIMEOUT(small, killed_during_the_proof, SECONDS)
{
	self->on_hold = hold_gate;
	self->on_settled = die;
	die_and_write(_metadata, self);
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	expect_complete(_metadata, self, 10);
}

TEST_HARNESS_MAIN
