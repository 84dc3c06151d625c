/* SPDX-License-Identifier: GPL-2.0-only */
/* What upgrade_slow.bpf.h and the tests that use it share. */
#ifndef UPGRADE_SLOW_H
#define UPGRADE_SLOW_H

#define SLOW_LOOPS 16		/* at most, for each of the two reasons to spin */

/*
 * Where a CPU spins: until slow_reached, which it increments when it gets there, is
 * what the test says, and then for some loops, which take 0.3 s each under emulation.
 */
struct slow_point {
	__u32 cpu;		/* its number + 1; 0: no CPU spins, or it has got there */
	__u32 loops;
	__u64 until;
	__u64 left;		/* when it went on; CLOCK_MONOTONIC, in ns */
};

#endif /* UPGRADE_SLOW_H */
