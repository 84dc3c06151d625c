/* SPDX-License-Identifier: GPL-2.0-only */
/* All workers together. */
#ifndef POLICY_WORKLOAD_H
#define POLICY_WORKLOAD_H

#include "policy_worker.h"

#define WORKERS 3

struct workload {
	_Atomic int wanted;		/* enum worker_state */
	struct worker workers[WORKERS];
};

/*
 * Start the workers, spread over the CPUs. `members` is where the set of processes
 * under the policy is pinned, `folder` is for the workers' files. Returns NULL on
 * error.
 */
struct workload *workload_start(const char *members, const char *folder);

/* Set the state of all workers and wait until they have reached it. */
void workload_change(struct workload *workload, enum worker_state state);

/* End the workers, wherever they are, and take them out of the policy. */
void workload_end(struct workload *workload, const char *members);

struct workload_sum {
	unsigned long rounds, judged, refused_wrongly, allowed_wrongly, failed;
	const char *first_wrong;	/* NULL if nothing was wrong */
	unsigned long first_round;
};

struct workload_sum workload_sum(const struct workload *workload);

#endif /* POLICY_WORKLOAD_H */
