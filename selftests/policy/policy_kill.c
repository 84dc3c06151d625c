// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that upgrades the policy can be killed at any moment: one version
 * stays in force, unharmed, and the next upgrade succeeds.
 */
#include <time.h>
#include "policy_fixture.h"

#define RANDOM_KILLS 12
#define STRAY_MS 3000	/* for the kernel to free what a killed process held */

/* Only what is pinned is attached. */
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
	/* `current` changes atomically, between SWITCHED and COMMITTED. */
	if (reached != STAGE_SWITCHED)
		EXPECT_EQ(reached >= STAGE_COMMITTED, after != before);
	expect_no_strays(_metadata, self);
	usleep(50000);
	sum = workload_sum(self->workload);
	EXPECT_EQ(0, sum.refused_wrongly + sum.allowed_wrongly + sum.failed) {
		TH_LOG("killed after stage %d: %s; %lu program runs skipped", reached,
		       sum.first_wrong, progs_skipped());
	}
	/*
	 * Clean up, as the next upgrade would do by itself: then the version in
	 * force is attached, and nothing else.
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

/* A test for each stage: on the debug kernel, one takes half a minute. */
#define KILLED_AT(name, stage)						\
TEST_F_TIMEOUT(policy, killed_when_##name, SECONDS)			\
{									\
	if (stage % 2)							\
		upgrade(_metadata, self);				\
	survive(_metadata, self, stage, -1);				\
	expect_unharmed(_metadata, self);				\
}

KILLED_AT(begun, STAGE_BEGUN)
KILLED_AT(cleaned, STAGE_CLEANED)
KILLED_AT(loaded, STAGE_LOADED)
KILLED_AT(attached, STAGE_ATTACHED)
KILLED_AT(pinned, STAGE_PINNED)
KILLED_AT(switched, STAGE_SWITCHED)
KILLED_AT(committed, STAGE_COMMITTED)
KILLED_AT(detached, STAGE_DETACHED)
KILLED_AT(settled, STAGE_SETTLED)
KILLED_AT(proved, STAGE_PROVED)
KILLED_AT(finished, STAGE_FINISHED)
_Static_assert(STAGE_FINISHED + 1 == STAGES, "a test for each stage");

TEST_F_TIMEOUT(policy, killed_at_random, SECONDS)
{
	struct timespec now;
	long part;

	upgrade(_metadata, self);
	part = (self->run->report.watch_ns + self->run->report.window_ns) / 1000 / RANDOM_KILLS;
	clock_gettime(CLOCK_MONOTONIC, &now);
	srandom(now.tv_nsec);
	/*
	 * One kill in each part of the time an upgrade takes once it is loaded, or
	 * as many as there is time for: in an order that leaves no large gap.
	 */
	for (int i = 0; i < RANDOM_KILLS && in_time(self, i); i++)
		survive(_metadata, self, -1, part * (i * 5 % RANDOM_KILLS) + random() % part);
	expect_unharmed(_metadata, self);
}

TEST_HARNESS_MAIN
