/* SPDX-License-Identifier: GPL-2.0-only */
/* A test can have a CPU spin at some point of a program, once. */
#ifndef UPGRADE_SLOW_BPF_H
#define UPGRADE_SLOW_BPF_H

#include "upgrade_slow.h"

/* Rounds, not seconds: on a loaded host, another CPU may not get to run for a second. */
#define SLOW_ROUNDS (1 << 23)

__u64 slow_reached;

static long slow_wait(__u32 i, __u64 *until)
{
	return *(volatile __u64 *)&slow_reached >= *until;
}

static long slow_round(__u32 i, void *ctx)
{
	return 0;
}

static __always_inline void slow_down(struct slow_point *point)
{
	__u64 until = point->until;

	if (point->cpu != bpf_get_smp_processor_id() + 1)
		return;
	point->cpu = 0;
	__sync_fetch_and_add(&slow_reached, 1);
	for (int i = 0; i < SLOW_LOOPS; i++)
		bpf_loop(SLOW_ROUNDS, slow_wait, &until, 0);
	for (int i = 0; i < SLOW_LOOPS && i < point->loops; i++)
		bpf_loop(SLOW_ROUNDS, slow_round, NULL, 0);
	point->left = bpf_ktime_get_ns();
}

#endif /* UPGRADE_SLOW_BPF_H */
