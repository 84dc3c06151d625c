/* SPDX-License-Identifier: GPL-2.0-only */
/* Let a program's events go on for a while. */
#ifndef UPGRADE_PROGRESS_H
#define UPGRADE_PROGRESS_H

#include <unistd.h>
#include <linux/types.h>

/* Until so many more have been counted. */
static inline void wait_for(const __u64 *events, __u64 more)
{
	__u64 least = __atomic_load_n(events, __ATOMIC_SEQ_CST) + more;

	while (__atomic_load_n(events, __ATOMIC_SEQ_CST) < least)
		usleep(1000);
}

#endif /* UPGRADE_PROGRESS_H */
