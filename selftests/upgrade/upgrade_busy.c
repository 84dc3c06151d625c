// SPDX-License-Identifier: GPL-2.0-only
/* Other maps change all the time, and markers are skipped: the old map is quiet. */
#include <pthread.h>
#include "upgrade_small.h"
#include "upgrade_busy.skel.h"

static struct upgrade_busy *busy;
static pthread_t thread;
static int stop;

static void change_once(FIXTURE_DATA(small) *self)
{
	__u32 zero = 0;

	bpf_map_update_elem(bpf_map__fd(busy->maps.other_map), &zero, &zero, BPF_ANY);
}

static void *change(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		change_once(NULL);
	return NULL;
}

/* From now on, a marker is skipped for each change of the other map. */
static void attach_busy(FIXTURE_DATA(small) *self)
{
	busy = upgrade_busy__open();
	bpf_program__set_attach_target(busy->progs.nest,
				       bpf_program__fd(self->skel->progs.upgrade_mark_update),
				       "upgrade_mark_update");
	self->found = upgrade_busy__load(busy) ?: upgrade_busy__attach(busy) ?:
		      pthread_create(&thread, NULL, change, NULL);
}

TEST_F_TIMEOUT(small, other_maps_change, SECONDS)
{
	self->on_attach = attach_busy;
	self->on_settled = change_once;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, self->report.stragglers);
	EXPECT_LT(100, self->report.recursion_misses);
	stop = 1;
	pthread_join(thread, NULL);
	upgrade_busy__destroy(busy);
}

TEST_HARNESS_MAIN
