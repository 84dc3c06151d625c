/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a thread runs. */
#ifndef CPU_H
#define CPU_H

#include <sched.h>

/* Run this thread on one CPU only: 0, or -1 and errno. */
static inline int use_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

#endif /* CPU_H */
