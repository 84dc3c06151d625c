// SPDX-License-Identifier: GPL-2.0-only
/*
 * Upgrade a policy while processes depend on its decisions: a process under the
 * policy may write only to files that it has opened since it came under it.
 */
#include "policy_fixture.h"
#include "policy_naive.h"

#define UPGRADES 20

/* Version 1 alone: without an upgrade, nothing is wrong. */
TEST_F(policy, one_version)
{
	sleep(1);
	expect_unharmed(_metadata, self);
}

TEST_F_TIMEOUT(policy, upgrades, SECONDS)
{
	__u64 changes = 0, copied = 0, reconciled = 0, refreshed = 0, repaired = 0, window = 0;
	struct upgrade_report *r = &self->run->report;
	unsigned long rounds, idle = 0;
	int i;

	for (i = 0; i < UPGRADES && in_time(self, i); i++) {
		rounds = workload_sum(self->workload).rounds;
		upgrade(_metadata, self);
		idle += workload_sum(self->workload).rounds == rounds;
		changes += r->changes;
		copied += r->copied;
		reconciled += r->reconciled;
		refreshed += r->refreshed;
		repaired += r->repaired_marked + r->repaired_unmarked;
		window = r->window_ns > window ? r->window_ns : window;
	}
	TH_LOG("%d upgrades: %llu changes reported, %llu entries copied, %llu reconciled, %llu refreshed, %llu repaired; window at most %llu ms",
	       i, changes, copied, reconciled, refreshed, repaired, window / 1000000);
	EXPECT_EQ(0, idle);
	/* Its proof would find what the hooks do not report, but later. */
	EXPECT_LT(0, changes);
	expect_unharmed(_metadata, self);
}

/* Without the library: a bulk copy loses changes, and the judge notices. */
TEST_F(policy, naive_copy)
{
	struct verdict v;

	ASSERT_EQ(0, manage(self, policy_naive));
	usleep(100000);
	v = judge(_metadata, self);
	EXPECT_EQ(2, v.version);
	EXPECT_LT(0, v.sum.refused_wrongly + v.lost);
	EXPECT_LT(0, v.leaked);
}

TEST_HARNESS_MAIN
