/* SPDX-License-Identifier: GPL-2.0-only */
/* What most tests of the hooks share. */
#ifndef HOOK_TEST_H
#define HOOK_TEST_H

#include "bpf_harness.h"
#include "recorder.h"

#define MAX_ENTRIES 16		/* of the maps in the BPF programs */
#define ENOTSUPP_KERNEL 524	/* the kernel's ENOTSUPP; no UAPI header has it */

/* Who makes a change. */
enum from { FROM_SYSCALL, FROM_PROG };

/* Write the number; to a per-CPU map, the same number for each CPU. */
static inline int put_number(int fd, __u32 key, __u64 value)
{
	__u64 values[MAX_CPUS];

	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		values[cpu] = value;
	return bpf_map_update_elem(fd, &key, values, BPF_ANY);
}

/* True if the element, or any CPU's slot of it, holds the number. */
static inline bool holds_number(int fd, __u32 key, __u64 value)
{
	__u64 values[MAX_CPUS] = {};

	if (bpf_map_lookup_elem(fd, &key, values))
		return false;
	for (int cpu = 0; cpu < MAX_CPUS; cpu++)
		if (values[cpu] == value)
			return true;
	return false;
}

#endif /* HOOK_TEST_H */
