/* SPDX-License-Identifier: GPL-2.0-only */
/* The threads and perf events that change the maps during a stress test. */
#ifndef STRESS_ACTORS_H
#define STRESS_ACTORS_H

#include <pthread.h>
#include <stdbool.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "stress.h"
#include "stress.skel.h"

#define ACTORS (2 * STRESS_CPUS + 1)

struct actors;

struct actor {
	struct actors *all;
	void (*work)(struct actor *a);
	pthread_t thread;
	unsigned int random;
	int cpu;
	struct stress_slot *slot;
};

struct actors {
	__u32 type, flags;		/* of the maps */
	bool array;
	bool nmis;			/* can change the maps */
	bool cpu_flags;			/* BPF_F_CPU and BPF_F_ALL_CPUS are valid */
	bool only_new;			/* only insert and delete, and only in `target` */
	struct stress *skel;
	int cpus;
	int target, locked;		/* map fds; locked is -1 if not supported */
	bool hardware;			/* the perf events count in hardware */
	int perf[STRESS_CPUS];
	struct actor actor[ACTORS];
	int n;
	bool stop;
	/* The first result that leaves open whether the operation was reported. */
	const char *failed;
	int error;
};

/* Start all of them. A negative errno says what did not start, in `failed`. */
int actors_start(struct actors *s);

/* Returns when none of them changes a map any more. False: a timer did not stop. */
bool actors_stop(struct actors *s);

#endif /* STRESS_ACTORS_H */
