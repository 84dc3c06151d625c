/* SPDX-License-Identifier: GPL-2.0-only */
/* Let a program's events go on for a while. */
#ifndef UPGRADE_PROGRESS_H
#define UPGRADE_PROGRESS_H

#include <unistd.h>
#include <linux/types.h>

static inline void wait_for_total(const __u64 *events, __u64 least)
{
	while (__atomic_load_n(events, __ATOMIC_SEQ_CST) < least)
		usleep(1000);
}

/* Until so many more have been counted. */
static inline void wait_for(const __u64 *events, __u64 more)
{
	wait_for_total(events, __atomic_load_n(events, __ATOMIC_SEQ_CST) + more);
}

#endif /* UPGRADE_PROGRESS_H */
