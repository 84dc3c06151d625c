/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes under the policy, which judge its decisions themselves. */
#ifndef POLICY_WORKLOAD_H
#define POLICY_WORKLOAD_H

#include <stdbool.h>
#include <stdatomic.h>
#include <sys/types.h>

#define WORKERS 3
#define SLOTS 16	/* files that a worker keeps open for more than a round */
#define ALWAYS_OPEN 4	/* of these, files that stay open until the end */

enum worker_state {
	WORKER_RUN,
	WORKER_REST,	/* nothing is opened, written or closed */
	WORKER_EXIT,
};

/* What a worker tells, in memory shared with the test. */
struct worker {
	pid_t pid;
	_Atomic int state;		/* what it does */
	_Atomic unsigned long rounds;
	_Atomic unsigned long judged;	/* writes whose outcome was looked at */
	_Atomic unsigned long refused_wrongly;
	_Atomic unsigned long allowed_wrongly;
	_Atomic unsigned long failed;	/* anything else that went wrong */
	const char *first_wrong;	/* what the first wrong decision was about */
	unsigned long first_round;
	struct slot {
		int fd;		/* -1: it is closed */
		unsigned int ino;
	} slots[SLOTS];
};

struct workload {
	_Atomic int wanted;		/* enum worker_state */
	struct worker workers[WORKERS];
};

/* The life of a worker, in its process; `inherited` it must not write to. */
void worker_run(struct worker *self, struct workload *workload, const char *members,
		int inherited) __attribute__((noreturn));

/*
 * Start the workers, spread over the CPUs. `members` is the pin of the set of
 * processes under the policy, into which each goes; `folder` is for their files.
 * NULL on an error.
 */
struct workload *workload_start(const char *members, const char *folder);

/* Have all workers do it and wait until they do. */
void workload_change(struct workload *workload, enum worker_state state);

/* End the workers, however far they got, and take them out of the policy. */
void workload_end(struct workload *workload, const char *members);

struct workload_sum {
	unsigned long rounds, judged, refused_wrongly, allowed_wrongly, failed;
	const char *first_wrong;	/* NULL if nothing was wrong */
	unsigned long first_round;
};

struct workload_sum workload_sum(const struct workload *workload);

#endif
