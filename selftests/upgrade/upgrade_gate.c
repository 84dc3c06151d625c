// SPDX-License-Identifier: GPL-2.0-only
/*
 * The upgrading process is killed while it holds the writers: they go on, and what
 * they write then stays.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include "upgrade_small.h"

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

static void die(FIXTURE_DATA(small) *self)
{
	kill(getpid(), SIGKILL);
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

static void run_and_die(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		run(self);
		_exit(1);
	}
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("it ended before it was killed");
	EXPECT_EQ(0, write_as_told(self, 2, 22));
	EXPECT_EQ(0, write_as_told(self, 3, 0));
	self->on_hold = NULL;
	self->on_detach = NULL;
	self->on_settled = NULL;
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
	run_and_die(_metadata, self);
	EXPECT_EQ(1, claim(self, 1));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	expect_complete(_metadata, self, 10);
}

TEST_F_TIMEOUT(small, killed_after_the_switch, SECONDS)
{
	self->on_hold = hold_gate;
	self->on_detach = change_and_die;
	run_and_die(_metadata, self);
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, claim(self, 1));
	expect_complete(_metadata, self, 11);
}

TEST_F_TIMEOUT(small, killed_during_the_proof, SECONDS)
{
	self->on_hold = hold_gate;
	self->on_settled = die;
	run_and_die(_metadata, self);
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	expect_complete(_metadata, self, 10);
}

TEST_HARNESS_MAIN
