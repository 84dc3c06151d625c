/* SPDX-License-Identifier: GPL-2.0-only */
/* An LRU map whose changes are accounted for, and what must hold of the accounts. */
#ifndef EVICT_TEST_H
#define EVICT_TEST_H

#include "bpf_harness.h"
#include "evict.h"
#include "evict.skel.h"

struct lru {
	struct evict *skel;
	int fd;
	int nr_cpus;
	int cpus;	/* how many values an element has */
};

static inline void open_map(struct __test_metadata *_metadata, struct lru *lru,
			    const struct map_kind *kind, __u32 max_entries)
{
	struct evict *skel;

	libbpf_set_print(print_warnings);
	lru->nr_cpus = libbpf_num_possible_cpus();
	ASSERT_LT(1, lru->nr_cpus) TH_LOG("the guest needs two CPUs");
	ASSERT_GE(EVICT_CPUS, lru->nr_cpus);
	lru->cpus = kind->percpu ? lru->nr_cpus : 1;
	ASSERT_EQ(0, use_cpu(0));
	skel = lru->skel = evict__open();
	ASSERT_NE(NULL, skel);
	bpf_map__set_type(skel->maps.target, kind->type);
	bpf_map__set_map_flags(skel->maps.target, kind->flags);
	bpf_map__set_max_entries(skel->maps.target, max_entries);
	skel->rodata->percpu = kind->percpu;
	skel->rodata->nr_cpus = lru->nr_cpus;
	ASSERT_EQ(0, evict__load(skel));
	lru->fd = bpf_map__fd(skel->maps.target);
	skel->bss->target_id = id_of(lru->fd);
	ASSERT_NE(0, skel->bss->target_id);
	ASSERT_EQ(0, evict__attach(skel));
}

static inline __u64 value_of(__u32 key, int cpu)
{
	return key * 100 + cpu + 1;
}

static inline int put(struct lru *lru, __u32 key, __u64 flags)
{
	__u64 values[EVICT_CPUS];

	for (int cpu = 0; cpu < EVICT_CPUS; cpu++)
		values[cpu] = value_of(key, cpu);
	return bpf_map_update_elem(lru->fd, &key, values, flags);
}

static inline int put_from_program(struct lru *lru, __u32 key)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	lru->skel->bss->op_key = key;
	lru->skel->bss->op_value = value_of(key, 0);
	err = bpf_prog_test_run_opts(bpf_program__fd(lru->skel->progs.op_update),
				     &opts);
	return err ?: lru->skel->bss->op_result;
}

static inline bool present(struct lru *lru, __u32 key)
{
	__u64 values[EVICT_CPUS];

	return !bpf_map_lookup_elem(lru->fd, &key, values);
}

static inline __u32 sum(const __u32 *counts)
{
	__u32 total = 0;

	for (int key = 0; key < EVICT_KEYS; key++)
		total += counts[key];
	return total;
}

/* Of keys that were inserted once each: what is not there was evicted, once. */
static inline void expect_exact(struct __test_metadata *_metadata, struct lru *lru,
				__u32 from, __u32 to, int cpus)
{
	const struct evict__bss *seen = lru->skel->bss;

	for (__u32 key = from; key < to; key++) {
		bool there = present(lru, key);

		EXPECT_EQ(1, seen->updated[key]) TH_LOG("key %u", key);
		EXPECT_EQ(!there, seen->evicted[key]) TH_LOG("key %u", key);
		for (int cpu = 0; !there && cpu < cpus; cpu++) {
			EXPECT_EQ(value_of(key, cpu), seen->evicted_value[key][cpu])
				TH_LOG("value of key %u, CPU %d", key, cpu);
		}
	}
	EXPECT_EQ(0, seen->found) TH_LOG("evictions of what was still there");
	EXPECT_EQ(0, seen->other_keys);
}

#endif /* EVICT_TEST_H */
