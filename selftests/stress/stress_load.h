/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads on all CPUs that change a map of each kind that calls the hooks. */
#ifndef STRESS_LOAD_H
#define STRESS_LOAD_H

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include "hooks/hook_test.h"
#include "stress_attach.h"
#include "stress_attach.skel.h"

static const struct map_kind kinds[] = {
	{ BPF_MAP_TYPE_ARRAY, .array = true },
	{ BPF_MAP_TYPE_PERCPU_ARRAY, .array = true },
	{ BPF_MAP_TYPE_HASH },
	{ BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC },
	{ BPF_MAP_TYPE_PERCPU_HASH },
	{ BPF_MAP_TYPE_LRU_HASH },
	{ BPF_MAP_TYPE_LRU_HASH, BPF_F_NO_COMMON_LRU },
	{ BPF_MAP_TYPE_LRU_PERCPU_HASH },
	{ BPF_MAP_TYPE_RHASH, BPF_F_NO_PREALLOC },
};

#define KINDS ARRAY_SIZE(kinds)

struct load {
	struct stress_attach *skel[KINDS];
	pthread_t thread[MAX_CPUS];
	int cpus;
	bool stop;
	unsigned int failed;
};

/* What programs do, the system call does, too. */
static inline int change(const struct load *load, int i)
{
	struct stress_attach *skel = load->skel[i];
	__u32 keys[LOAD_KEYS] = { 0, 1, 2, 3 }, n = LOAD_KEYS, cursor;
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	__u64 values[LOAD_KEYS * MAX_CPUS] = {};
	int fd = bpf_map__fd(skel->maps.changed);
	int err;

	err = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.change), &opts) ?:
	      put_number(fd, 0, 1) ?:
	      bpf_map_update_batch(fd, keys, values, &n, NULL);
	if (err || kinds[i].array)
		return err;
	/* Another thread may have deleted them. */
	bpf_map_delete_elem(fd, &keys[0]);
	n = LOAD_KEYS;
	bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys, values, &n, NULL);
	return 0;
}

static inline void *change_all(void *arg)
{
	struct load *load = arg;

	/* Whoever waits for this thread comes first. */
	if (setpriority(PRIO_PROCESS, 0, 19))
		__atomic_fetch_add(&load->failed, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&load->stop, __ATOMIC_RELAXED)) {
		for (unsigned int i = 0; i < KINDS; i++) {
			if (change(load, i))
				__atomic_fetch_add(&load->failed, 1, __ATOMIC_RELAXED);
			/* Attaching waits until each task has let others run. */
			sched_yield();
		}
	}
	return NULL;
}

static inline void load_start(struct __test_metadata *_metadata, struct load *load)
{
	for (unsigned int i = 0; i < KINDS; i++) {
		struct stress_attach *skel = load->skel[i] = stress_attach__open();

		ASSERT_NE(NULL, skel);
		skel->rodata->array = kinds[i].array;
		bpf_map__set_type(skel->maps.changed, kinds[i].type);
		bpf_map__set_map_flags(skel->maps.changed, kinds[i].flags);
		ASSERT_EQ(0, stress_attach__load(skel)) TH_LOG("kind %u", i);
	}
	load->cpus = libbpf_num_possible_cpus();
	ASSERT_GE(MAX_CPUS, load->cpus);
	for (int cpu = 0; cpu < load->cpus; cpu++) {
		cpu_set_t cpus;

		ASSERT_EQ(0, pthread_create(&load->thread[cpu], NULL, change_all, load));
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		ASSERT_EQ(0, pthread_setaffinity_np(load->thread[cpu], sizeof(cpus),
						    &cpus));
	}
}

static inline void load_stop(struct __test_metadata *_metadata, struct load *load)
{
	__atomic_store_n(&load->stop, true, __ATOMIC_RELAXED);
	for (int cpu = 0; cpu < load->cpus; cpu++)
		pthread_join(load->thread[cpu], NULL);
	EXPECT_EQ(0, load->failed);
	for (unsigned int i = 0; i < KINDS; i++) {
		EXPECT_LT(0, load->skel[i]->bss->changes);
		EXPECT_EQ(0, load->skel[i]->bss->failed);
		stress_attach__destroy(load->skel[i]);
	}
}

#endif /* STRESS_LOAD_H */
