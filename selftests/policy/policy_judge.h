/* SPDX-License-Identifier: GPL-2.0-only */
/* Compares the policy's map with the files that the workload has open. */
#ifndef POLICY_JUDGE_H
#define POLICY_JUDGE_H

#include "policy_workload.h"

struct verdict {
	struct workload_sum sum;
	int version;	/* in force, or a negative errno */
	int strays;	/* programs and links that should not exist */
	int open;	/* files that the workers had open at the end */
	int lost;	/* of these, files missing or wrong in the map */
	int leaked;	/* map entries without an open file */
};

/*
 * Pause the workload and look at the map; then end the workload and look again:
 * now the map must be empty.
 */
struct verdict policy_judge(const char *root, struct workload *workload,
			    const char *members);

#endif /* POLICY_JUDGE_H */
