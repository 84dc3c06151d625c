/* SPDX-License-Identifier: GPL-2.0-only */
/* What became of the workload's files in the policy's map. */
#ifndef POLICY_JUDGE_H
#define POLICY_JUDGE_H

#include "policy_workload.h"

struct verdict {
	struct workload_sum sum;
	int version;	/* in force; a negative errno if there is none */
	int strays;	/* programs and links that nobody should have */
	int open;	/* files that the workers had open at last */
	int lost;	/* of these, files that the map does not hold as it should */
	int leaked;	/* entries of the map without an open file */
};

/*
 * Has the workload rest, looks, then ends it, and looks again: now the map must
 * be empty.
 */
struct verdict policy_judge(const char *root, struct workload *workload,
			    const char *members);

#endif
