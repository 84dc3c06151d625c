/* SPDX-License-Identifier: GPL-2.0-only */
/* Loaded programs, by their ids. */
#ifndef POLICY_PROGS_H
#define POLICY_PROGS_H

#include <linux/types.h>

/* The program of a link; 0 on error. */
__u32 prog_of_link(int link_fd);

/*
 * Wait until the kernel has freed a program that was detached. 0 or -ETIMEDOUT.
 * That takes a while if someone else holds its link, too.
 */
int prog_wait_until_gone(__u32 id);

/*
 * Runs that the kernel skipped because a task was preempted in the same program
 * on the same CPU: that version of the policy misses an event then.
 */
unsigned long prog_skipped(__u32 id);

/* The sum for all loaded programs, plus *progs_skips. */
unsigned long progs_skipped(void);

/* Skipped runs of programs that have been detached; NULL: not counted. */
extern _Atomic unsigned long *progs_skips;

#endif /* POLICY_PROGS_H */
