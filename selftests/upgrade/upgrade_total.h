/* SPDX-License-Identifier: GPL-2.0-only */
/* Totals over all upgrades of one kind of map, and what they must be. */
#ifndef UPGRADE_TOTAL_H
#define UPGRADE_TOTAL_H

#include "bpf_harness.h"
#include "upgrade.h"
#include "upgrade_judge.h"

#define CHANGES 170000		/* during upgrades, per kind of map */
#define UPGRADES 4		/* at least: each has only one switch */

struct total {
	bool without_hooks;
	int upgrades;
	__u64 changes, on[LOAD_CPUS];	/* while an upgrade ran */
	__u64 failed;			/* after they were reported */
	__u64 by_new;			/* by programs of the new version */
	__u64 not_run;			/* events that no version handled */
	__u64 done_twice;		/* changes that both made */
	__u64 by_old_alone;		/* after the new version had failed to make them */
	__u64 wrong_reads, evicted;
	__u64 reported, dirty, reconciled, refreshed, repaired, unmarked;
	__u64 longest_ns, held_ns, window_ns;
	struct verdict verdict;		/* on the last one */
};

static inline __u64 larger(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

static inline void total_add(struct total *t, const struct load *load,
			     const struct upgrade_report *r)
{
	t->upgrades++;
	t->reported += r->changes;
	t->dirty += r->dirty;
	t->reconciled += r->reconciled;
	t->refreshed += r->refreshed;
	t->repaired += r->repaired_marked + r->repaired_unmarked;
	t->unmarked += r->unmarked;
	t->window_ns = larger(t->window_ns, r->window_ns);
	t->evicted += t->verdict.evicted;
	for (int i = 0; i < LOAD_THREADS; i++) {
		const struct writer *w = &load->writer[i];

		t->failed += w->failed;
		t->by_new += w->program ? w->by_new : 0;
		t->not_run += w->not_run;
		t->done_twice += w->done_twice;
		t->by_old_alone += w->by_old_alone;
		t->wrong_reads += w->wrong_reads;
		t->longest_ns = larger(t->longest_ns, w->longest_ns);
		t->held_ns = larger(t->held_ns, w->held_ns);
	}
	printf("# upgrade %d: changes %llu, keys %llu, kept %llu, passes %llu, dirty %llu",
	       t->upgrades, r->changes, r->keys, r->kept, r->passes, r->dirty);
	printf(", reconciled %llu, refreshed %llu, repaired %llu + %llu, unmarked %llu",
	       r->reconciled, r->refreshed, r->repaired_marked, r->repaired_unmarked,
	       r->unmarked);
	printf(", stragglers %llu, write_errors %llu, recursion_misses %llu",
	       r->stragglers, r->write_errors, r->recursion_misses);
	printf(", watch %llu ms, window %llu ms\n", r->watch_ns / 1000000,
	       r->window_ns / 1000000);
}

static inline void total_print(struct __test_metadata *_metadata, const struct total *t)
{
	TH_LOG("%llu changes during %d upgrades; %llu failed after being reported, %llu by the new version's programs, evicted %llu",
	       t->changes, t->upgrades, t->failed, t->by_new, t->evicted);
	for (int cpu = 0; cpu < LOAD_CPUS && t->on[cpu]; cpu++)
		TH_LOG("on CPU %d: %llu", cpu, t->on[cpu]);
	TH_LOG("longest system call %llu us, at the gate %llu ms, window %llu ms",
	       t->longest_ns / 1000, t->held_ns / 1000000, t->window_ns / 1000000);
	TH_LOG("%llu changes of the old map reported; %llu made by both versions, %llu by the old one alone",
	       t->reported, t->done_twice, t->by_old_alone);
}

/* Everything that these upgrades are meant to exercise must have happened. */
static inline void total_expect(struct __test_metadata *_metadata, const struct total *t,
				const struct map_kind *kind)
{
	EXPECT_EQ(0, t->not_run) TH_LOG("events that no version handled");
	/* Without the hooks, there is no gate. */
	EXPECT_EQ(t->without_hooks, t->done_twice + t->by_old_alone > 0)
		TH_LOG("changes that both versions made");
	EXPECT_EQ(0, t->wrong_reads) TH_LOG("reads of keys that no other writer touches");
	EXPECT_LE(CHANGES, t->changes);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		EXPECT_LT(CHANGES / 10 / libbpf_num_possible_cpus(), t->on[cpu]);
	EXPECT_LT(0, t->reported);
	EXPECT_LT(0, t->by_new);
	EXPECT_LT(0, t->dirty) TH_LOG("keys in the reconcile passes");
	EXPECT_LT(0, t->reconciled);
	EXPECT_LT(0, t->refreshed);
	EXPECT_LT(0, t->repaired);
	EXPECT_LT(0, t->unmarked) TH_LOG("reports that found the ring full");
	EXPECT_EQ(kind->array, !t->failed);
	EXPECT_EQ(kind->lru, !!t->evicted);
}

#endif /* UPGRADE_TOTAL_H */
