/* SPDX-License-Identifier: GPL-2.0-only */
/* What stress.bpf.c and the test share. */
#ifndef STRESS_H
#define STRESS_H

#define STRESS_KEYS 8		/* all change the same few keys */
#define STRESS_VETO_KEY 3	/* of any map; vetoed while a veto is attached */
#define STRESS_VETO (-125)	/* -ECANCELED, which no map operation returns */
#define STRESS_SLOTS 64
#define STRESS_CPUS 8

enum stress_hook { HOOK_UPDATE, HOOK_DELETE, HOOKS };
enum mirror_hook { MIRROR_UPDATED, MIRROR_DELETED, MIRROR_EVICTED, MIRROR_HOOKS };

/* Who issues an operation, and how. */
enum stress_path {
	PATH_UNKNOWN,		/* not from this test */
	PATH_SINGLE,		/* system calls for one element, with any flags */
	PATH_LOCK,		/* the same with BPF_F_LOCK, on a map of its own */
	PATH_LOOKUP_AND_DELETE,
	PATH_BATCH,
	PATH_LOOKUP_AND_DELETE_BATCH,
	PATH_INVALID,		/* system calls with arguments that maps reject */
	PATH_SMALL,		/* filling small maps past their size */
	PATH_PROG,		/* BPF_PROG_TEST_RUN */
	PATH_FOR_EACH,		/* its bpf_for_each_map_elem() */
	PATH_NESTED,		/* a program on the hook */
	PATH_TIMER,		/* softirq */
	PATH_PERF,		/* NMI, or hard interrupt without a hardware counter */
	PATHS
};

/* What a thread is doing; found by its ID modulo STRESS_SLOTS. */
struct stress_slot {
	__u32 tid;
	__u32 path;
};

#endif /* STRESS_H */
