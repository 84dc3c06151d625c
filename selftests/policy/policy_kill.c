// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever upgrades the policy may be killed at any moment: a version goes on
 * unharmed, and the next upgrade succeeds.
 */
#include <time.h>
#include "policy_fixture.h"

#define RANDOM_KILLS 12
#define STRAY_MS 3000	/* until the kernel has freed what a killed process held */

/* Nothing is attached but what is pinned. */
static void expect_no_strays(struct __test_metadata *_metadata, FIXTURE_DATA(policy) *self)
{
	int ms = 0;

	while (pins_strays(self->root) && ms++ < STRAY_MS)
		usleep(1000);
	EXPECT_EQ(0, pins_strays(self->root));
}

static void survive(struct __test_metadata *_metadata, FIXTURE_DATA(policy) *self,
		    int stage, long us)
{
	int before = version(self), status, after, reached;
	bool resumed;
	struct workload_sum sum;

	status = manage_killed(self, policy_upgrade, stage, us);
	reached = self->run->stage;
	after = version(self);
	EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	/* `current` changes in one step, between these two. */
	if (reached != STAGE_SWITCHED)
		EXPECT_EQ(reached >= STAGE_COMMITTED, after != before);
	expect_no_strays(_metadata, self);
	usleep(50000);
	sum = workload_sum(self->workload);
	EXPECT_EQ(0, sum.refused_wrongly + sum.allowed_wrongly + sum.failed) {
		TH_LOG("killed after stage %d: %s; %lu events skipped", reached,
		       sum.first_wrong, pins_skipped());
	}
	/*
	 * Who started it cleans up after it, which the next upgrade would do as
	 * well: then what is attached is the version in force, and nothing else.
	 */
	EXPECT_EQ(0, manage(self, policy_clean));
	resumed = self->run->resumed;
	EXPECT_NE(0, access(PATH(self->root, "next"), F_OK));
	EXPECT_EQ(after, version(self));
	expect_no_strays(_metadata, self);
	upgrade(_metadata, self);
	expect_no_strays(_metadata, self);
	TH_LOG("killed after stage %d, version %d -> %d%s", reached, before, after,
	       resumed ? ", finished afterwards" : "");
}

TEST_F_TIMEOUT(policy, killed_at_each_stage, SECONDS)
{
	for (int stage = 0; stage < STAGES; stage++)
		survive(_metadata, self, stage, -1);
	expect_unharmed(_metadata, self);
}

TEST_F_TIMEOUT(policy, killed_at_random, SECONDS)
{
	struct timespec now;
	long part;

	upgrade(_metadata, self);
	part = (self->run->report.watch_ns + self->run->report.window_ns) / 1000 / RANDOM_KILLS;
	clock_gettime(CLOCK_MONOTONIC, &now);
	srandom(now.tv_nsec);
	/* One in each part of the time that an upgrade takes once it is loaded. */
	for (int i = 0; i < RANDOM_KILLS; i++)
		survive(_metadata, self, -1, part * i + random() % part);
	expect_unharmed(_metadata, self);
}

TEST_HARNESS_MAIN
