/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy, in force and pinned in a bpffs of its own, and its workload. All of
 * this is inline, because kselftest_harness.h can only be used in one source file
 * of a program.
 */
#ifndef POLICY_FIXTURE_H
#define POLICY_FIXTURE_H

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include "bpf_harness.h"
#include "policy_judge.h"
#include "policy_pins.h"
#include "policy_progs.h"
#include "policy_session.h"
#include "policy_upgrade.h"

FIXTURE(policy)
{
	char folder[64];
	char root[80];
	char members[96];
	struct workload *workload;
	struct policy_run *run;
	time_t began;
};

/* A long test does less, but not too little, if half of its time is over. */
static inline bool in_time(const FIXTURE_DATA(policy) *self, int done)
{
	return done < 3 || time(NULL) - self->began < SECONDS / 2;
}

typedef int manage_fn(const char *root, struct policy_run *run);

/*
 * Run the function in a child process, so that what it does not pin goes away with
 * it. Unless they are -1, it kills itself at `stage`, or is killed `us`
 * microseconds after STAGE_LOADED. Returns the status from waitpid().
 */
static inline int manage_killed(FIXTURE_DATA(policy) *self, manage_fn *function, int stage, long us)
{
	int status = -1;
	pid_t pid;

	memset(self->run, 0, sizeof(*self->run));
	self->run->kill_at = stage;
	pid = fork();
	if (pid == 0) {
		/* The workload must not decide how long an upgrade takes. */
		setpriority(PRIO_PROCESS, 0, -20);
		_exit(function(self->root, self->run) ? 1 : 0);
	}
	if (us < 0) {
		waitpid(pid, &status, 0);
	} else {
		while (self->run->stage < STAGE_LOADED && !waitpid(pid, &status, WNOHANG))
			usleep(200);
		usleep(us);
		if (self->run->stage >= STAGE_LOADED) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
		}
	}
	return status;
}

static inline int manage(FIXTURE_DATA(policy) *self, manage_fn *function)
{
	return manage_killed(self, function, -1, -1);
}

FIXTURE_SETUP(policy)
{
	self->began = time(NULL);
	self->run = mmap(NULL, sizeof(*self->run), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->run);
	progs_skips = mmap(NULL, sizeof(*progs_skips), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, progs_skips);
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	strcpy(self->folder, "/tmp/policy.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->folder));
	ASSERT_EQ(0, mount("none", self->folder, "tmpfs", 0, NULL));
	sprintf(self->root, "%s/bpf", self->folder);
	sprintf(self->members, "%s/members", self->root);
	ASSERT_EQ(0, mkdir(self->root, 0700));
	ASSERT_EQ(0, mount("none", self->root, "bpf", 0, NULL));
	/* Not in a child, so that libbpf probes the kernel's features only once. */
	ASSERT_EQ(0, policy_install(self->root, self->run));
	self->workload = workload_start(self->members, self->folder);
	ASSERT_NE(NULL, self->workload);
}

FIXTURE_TEARDOWN(policy)
{
	if (self->workload)
		workload_end(self->workload, self->members);
}

static inline struct verdict judge(struct __test_metadata *_metadata, FIXTURE_DATA(policy) *self)
{
	unsigned long skipped = progs_skipped();
	struct verdict v = policy_judge(self->root, self->workload, self->members);

	self->workload = NULL;
	TH_LOG("%lu writes judged in %lu rounds: %lu wrongly refused, %lu wrongly allowed, %lu failed",
	       v.sum.judged, v.sum.rounds, v.sum.refused_wrongly, v.sum.allowed_wrongly,
	       v.sum.failed);
	TH_LOG("version %d, %d files open: %d lost, %d entries leaked; %lu program runs skipped",
	       v.version, v.open, v.lost, v.leaked, skipped);
	if (v.sum.first_wrong)
		TH_LOG("first wrong outcome: %s, in round %lu", v.sum.first_wrong,
		       v.sum.first_round);
	return v;
}

static inline void expect_unharmed(struct __test_metadata *_metadata, FIXTURE_DATA(policy) *self)
{
	struct verdict v = judge(_metadata, self);

	EXPECT_LT(0, v.sum.judged);
	EXPECT_EQ(0, v.sum.refused_wrongly);
	EXPECT_EQ(0, v.sum.allowed_wrongly);
	EXPECT_EQ(0, v.sum.failed);
	EXPECT_LT(0, v.open);
	EXPECT_EQ(0, v.lost);
	EXPECT_EQ(0, v.leaked);
	EXPECT_EQ(0, v.strays);
}

static inline int version(FIXTURE_DATA(policy) *self)
{
	int map, version = policy_version(self->root, &map);

	close(map);
	return version;
}

static inline void upgrade(struct __test_metadata *_metadata, FIXTURE_DATA(policy) *self)
{
	int before = version(self), status = manage(self, policy_upgrade);

	ASSERT_EQ(0, status) {
		TH_LOG("status %x after stage %d: %s", status, self->run->stage,
		       self->run->report.error);
	}
	EXPECT_EQ(before == 2 ? 3 : 2, version(self));
}

#endif /* POLICY_FIXTURE_H */
