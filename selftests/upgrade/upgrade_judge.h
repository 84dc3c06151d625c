/* SPDX-License-Identifier: GPL-2.0-only */
/* Compares the new map with what the writers did. */
#ifndef UPGRADE_JUDGE_H
#define UPGRADE_JUDGE_H

#include "upgrade_history.h"

struct verdict {
	__u64 keys;		/* in the new map */
	__u64 lost, stale, resurrected;
	__u64 evicted;		/* missing, but evicted from the old map as well */
	char first[160];	/* the first difference, in words */
};

/* To be called once the writers have ended. */
void load_judge(const struct load *load, struct verdict *verdict);

#endif /* UPGRADE_JUDGE_H */
