// SPDX-License-Identifier: GPL-2.0-only
/* Upgrades under load lose nothing, with and without the hooks: the judge finds no difference. */
#include "upgrade_run.h"
#include "upgrade_total.h"

struct upgrades {
	struct run run;
	struct total total;
};

/* One upgrade with fresh maps, from the start of the load to the verdict. */
static void upgrade_once(struct __test_metadata *_metadata, struct upgrades *self,
			 const struct map_kind *kind)
{
	struct verdict *v = &self->total.verdict;
	struct run *run = &self->run;
	__u64 before[LOAD_CPUS], after;
	struct upgrade_report report = { .sz = sizeof(report) };
	int err;

	memset(run->load, 0, sizeof(*run->load));
	run->upgrades = self->total.upgrades;
	run_open_old(_metadata, run, kind);
	run_open_new(_metadata, run, kind);
	run->begin = load_now();
	ASSERT_EQ(0, load_start(run->load));
	for (int i = 0; i < 5; i++) {
		usleep(20000);
		run_sample(run, &(struct upgrade_sample){});
	}
	for (int cpu = 0; cpu < run->load->cpus; cpu++)
		before[cpu] = load_done_on(run->load, cpu);
	err = upgrade_run(run->upgrade, &report);
	for (int cpu = 0; cpu < run->load->cpus; cpu++) {
		after = load_done_on(run->load, cpu);
		self->total.changes += after - before[cpu];
		self->total.on[cpu] += after - before[cpu];
	}
	usleep(20000);
	load_end(run->load);
	load_judge(run->load, v);
	total_add(&self->total, run->load, &report);

	EXPECT_EQ(0, err) TH_LOG("upgrade_run: %s", report.error);
	EXPECT_EQ(!run->without_hooks, report.hooks);
	EXPECT_EQ(0, report.evicted) TH_LOG("the new map has room for everything");
	EXPECT_EQ(0, v->lost + v->stale + v->resurrected)
		TH_LOG("upgrade %d: %llu lost, %llu stale, %llu resurrected: %s",
		       self->total.upgrades, v->lost, v->stale, v->resurrected, v->first);

	run_close_new(run);
	run_close_old(run);
}

static void nothing_lost(struct __test_metadata *_metadata, struct upgrades *self,
			 const struct map_kind *kind)
{
	struct total *t = &self->total;

	t->without_hooks = self->run.without_hooks;
	while ((t->changes < CHANGES || t->upgrades < UPGRADES) && __test_passed(_metadata))
		upgrade_once(_metadata, self, kind);

	total_print(_metadata, t);
	total_expect(_metadata, t, kind);
}

#define UPGRADES_UNDER_LOAD(fixture, no_hooks)				\
	FIXTURE(fixture) { struct upgrades upgrades; };			\
	FIXTURE_VARIANT(fixture) { struct map_kind kind; };		\
	MAP_KIND_VARIANTS(fixture);					\
									\
	FIXTURE_SETUP(fixture)						\
	{								\
		run_setup(_metadata, &self->upgrades.run);		\
		self->upgrades.run.without_hooks = no_hooks;		\
	}								\
									\
	FIXTURE_TEARDOWN(fixture)					\
	{								\
		run_teardown(&self->upgrades.run);			\
	}								\
									\
	TEST_F_TIMEOUT(fixture, nothing_lost, SECONDS)			\
	{								\
		nothing_lost(_metadata, &self->upgrades, &variant->kind);	\
	}

UPGRADES_UNDER_LOAD(upgrade, false)
UPGRADES_UNDER_LOAD(without_hooks, true)

TEST_HARNESS_MAIN
