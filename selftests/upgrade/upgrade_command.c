// SPDX-License-Identifier: GPL-2.0-only
/* bpf-upgrade run, status and resume. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include "upgrade_stop.h"
#include "upgrade_tool.h"
#include "upgrade_tool_moves.skel.h"
#include "upgrade_tool_names.skel.h"

/* Upgrade while the program counts; returns how many calls it had to count. */
static int run_counting(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self,
			bool old_decides)
{
	int stop[2], done[2], n = 0;
	pid_t child;
	char byte;

	let_go(self);
	ASSERT_EQ(0, pipe2(stop, O_NONBLOCK) || pipe(done));
	child = fork();
	if (!child) {
		for (; read(stop[0], &byte, 1) < 0; n++)
			call(1);
		exit(write(done[1], &n, sizeof(n)) != sizeof(n));
	}
	if (old_decides)
		run(&told, "run", "--old-decides", "pins", "new.o");
	else
		run(&told, "run", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	EXPECT_NE(NULL, strstr(told.out, "upgraded pins: ")) TH_LOG("%s", told.out);
	ASSERT_EQ(1, write(stop[1], &byte, 1));
	ASSERT_EQ(sizeof(n), read(done[0], &n, sizeof(n)));
	waitpid(child, NULL, 0);
	EXPECT_LT(0, n);
	return n;
}

/* Nothing is lost. */
static void runs(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self, bool old_decides)
{
	int n = run_counting(_metadata, self, old_decides);

	EXPECT_LT(0, count_in("pins/counts").by_new);
	EXPECT_GT(n, count_in("pins/counts").by_new);
	expect_new(_metadata, self, BEFORE + n);
}

TEST_F_TIMEOUT(tool, runs, SECONDS)
{
	runs(_metadata, self, false);
}

/* Then it needs no hooks. */
TEST_F_TIMEOUT(tool, runs_old_decides, SECONDS)
{
	runs(_metadata, self, true);
}

/* Nor if the changes are neither reported nor refused. */
TEST_F_TIMEOUT(tool, runs_through_pointer, SECONDS)
{
	through_pointer = true;
	restart_old(_metadata, self, BPF_MAP_TYPE_HASH);
	call(BEFORE);
	runs(_metadata, self, false);
}

/* If the new version counts elsewhere, it has to claim the old version's element. */
TEST_F_TIMEOUT(tool, runs_through_pointer_and_moves, SECONDS)
{
	struct count old, new;
	int n;

	PUT_OBJECT("new.o", upgrade_tool_moves);
	through_pointer = true;
	restart_old(_metadata, self, BPF_MAP_TYPE_HASH);
	call(BEFORE);
	n = run_counting(_metadata, self, false);
	old = count_of(PID, "pins/counts");
	new = count_of(PID + 1, "pins/counts");
	EXPECT_LT(BEFORE, old.calls);
	EXPECT_EQ(0, old.by_new);
	EXPECT_LT(0, new.calls);
	EXPECT_EQ(new.calls, new.by_new);
	EXPECT_EQ(BEFORE + n, old.calls + new.calls);
}

/* The old program stays attached as long as its loader keeps the link. */
TEST_F_TIMEOUT(tool, resumes, SECONDS)
{
	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	EXPECT_NE(NULL, strstr(told.err, "not finished: cannot detach the old version: count_calls is unpinned, but another process has it open"))
		TH_LOG("%s", told.err);
	run(&told, "status", "pins");
	EXPECT_NE(NULL, strstr(told.out, "pins: an upgrade is not finished, the new version is in charge"))
		TH_LOG("%s", told.out);
	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	EXPECT_NE(NULL, strstr(told.err, "run bpf-upgrade resume pins new.o")) TH_LOG("%s", told.err);
	run(&told, "resume", "pins", "old.o");
	EXPECT_STREQ("bpf-upgrade: old.o does not include upgrade.bpf.h: see bpf-upgrade gen\n", told.err);
	run(&told, "resume", "pins", "new.o");
	EXPECT_NE(NULL, strstr(told.err, "still has a program that uses the old map")) TH_LOG("%s", told.err);
	let_go(self);
	usleep(200000);
	run(&told, "resume", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	expect_new(_metadata, self, BEFORE);
	run(&told, "resume", "pins", "new.o");
	EXPECT_STREQ("bpf-upgrade: there is no upgrade in pins to resume\n", told.err);
}

/* What the new version has is kept, whatever it is called. */
TEST_F_TIMEOUT(tool, runs_with_like_names, SECONDS)
{
	__u64 total = 0;
	__u32 zero = 0;
	int map;

	let_go(self);
	PUT_OBJECT("new.o", upgrade_tool_names);
	run(&told, "run", "--in-nmis", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	EXPECT_EQ(0, access("pins/upgrade_stats", F_OK));
	EXPECT_EQ(0, access("pins/_data_upgrade_seen", F_OK));
	EXPECT_NE(0, access("pins/upgrade_claim", F_OK));
	EXPECT_NE(0, access("pins/upgrade_owned", F_OK));
	EXPECT_NE(0, access("pins/_data_upgrade", F_OK));
	expect_new(_metadata, self, BEFORE);
	map = bpf_obj_get("pins/upgrade_total");
	EXPECT_EQ(0, bpf_map_lookup_elem(map, &zero, &total));
	EXPECT_LE(3, total);
	close(map);
}

/* Killed when all but the pins was done, after events had been handled twice. */
TEST_F_TIMEOUT(tool, resumes_a_loss, SECONDS)
{
	struct upgrade_state state;
	__u32 zero = 0;
	int map;

	run(&told, "run", "--old-decides", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	let_go(self);
	map = bpf_obj_get("pins/upgrade/_data_upgrade");
	ASSERT_EQ(0, bpf_map_lookup_elem(map, &zero, &state));
	state.handled_twice = 3;
	state.phase = UPGRADE_DONE;
	ASSERT_EQ(0, bpf_map_update_elem(map, &zero, &state, BPF_ANY));
	close(map);
	run(&told, "resume", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	EXPECT_STREQ("bpf-upgrade: upgraded, but not without loss: 0 events missed, 3 handled twice, refused for want of 0 locks, 0 owners, 0 copies\n",
		     told.err);
	run(&told, "status", "pins");
	EXPECT_STREQ("pins: no upgrade in progress\n", told.out);
}

/* Killed while it waits for the old program to go, which still handles its events. */
TEST_F_TIMEOUT(tool, killed, SECONDS)
{
	char *argv[] = { "bpf-upgrade", "run", "pins", "new.o", NULL };
	pid_t child = fork();

	if (!child)
		exit(command(4, argv));
	while (!access("pins/count_calls", F_OK) && !waitpid(child, NULL, WNOHANG))
		usleep(10000);
	run(&told, "status", "pins");
	EXPECT_STREQ("pins: an upgrade is at work\n", told.out);
	run(&told, "resume", "pins", "new.o");
	EXPECT_STREQ("bpf-upgrade: another bpf-upgrade is at work in pins\n", told.err);
	run(&told, "run", "pins", "new.o");
	EXPECT_STREQ("bpf-upgrade: another bpf-upgrade is at work in pins\n", told.err);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* As if it had been killed before it unpinned the link: that has to wait for events. */
	ASSERT_EQ(0, bpf_obj_pin(bpf_link__fd(self->link), "pins/count_calls"));
	let_go(self);
	run(&told, "resume", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	expect_new(_metadata, self, BEFORE);
}

/* What is left by one that was killed before the switch is removed. */
TEST_F_TIMEOUT(tool, starts_again, SECONDS)
{
	ASSERT_EQ(0, mkdir("pins/upgrade", 0700));
	ASSERT_EQ(0, bpf_obj_pin(bpf_link__fd(self->link), "pins/upgrade/count_calls"));
	let_go(self);
	run(&told, "status", "pins");
	EXPECT_NE(NULL, strstr(told.out, "the old version is in charge")) TH_LOG("%s", told.out);
	run(&told, "resume", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	expect_new(_metadata, self, BEFORE);
}

static bool opens_the_object(const struct system_call *call)
{
	long path;

	if (call->made || call->number != SYS_openat)
		return false;
	path = ptrace(PTRACE_PEEKDATA, call->pid, call->args[1], 0);
	return !strncmp((char *)&path, "new.o", sizeof("new.o"));
}

/* While it looks at the folder, no other one changes what is there. */
TEST_F_TIMEOUT(tool, looks_alone, SECONDS)
{
	struct told slow;

	let_go(self);
	ASSERT_TRUE(stop(&slow, opens_the_object, "run", "pins", "new.o")) TH_LOG("%s", slow.err);
	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	EXPECT_STREQ("bpf-upgrade: another bpf-upgrade is at work in pins\n", told.err);
	go_on(&slow);
	EXPECT_EQ(0, slow.status) TH_LOG("%s", slow.err);
	expect_new(_metadata, self, BEFORE);
}

TEST_HARNESS_MAIN
