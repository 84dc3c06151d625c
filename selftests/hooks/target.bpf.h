/* SPDX-License-Identifier: GPL-2.0-only */
/* The traced map, and what a program on a hook reads of it and of its arguments. */
#ifndef TARGET_BPF_H
#define TARGET_BPF_H

#include <bpf/bpf_helpers.h>
#include "newer.h"
#include "recorder.h"

/* The tests set type, flags and size before loading, or the map of another object. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct elem_value);
} target SEC(".maps");

const volatile bool percpu;
const volatile __u32 nr_cpus = 1;

__u32 target_id;

/* What a lookup finds, for each CPU; false: no such element. */
static __always_inline bool look_up(__u32 key, struct elem_value *found)
{
	struct elem_value *value;

	for (__u32 cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (cpu >= nr_cpus)
			break;
		value = percpu ? bpf_map_lookup_percpu_elem(&target, &key, cpu) :
				 bpf_map_lookup_elem(&target, &key);
		if (!value)
			return false;
		found[cpu] = *value;
	}
	return true;
}

/* Read what an update passes; how many values that is. */
static __always_inline __u32 read_values(void *value, __u64 map_flags,
					 struct elem_value *values)
{
	__u32 n = percpu && !(map_flags & (BPF_F_CPU | BPF_F_ALL_CPUS)) ? nr_cpus : 1;
	__u32 size = (sizeof(struct elem_value) + 7) / 8 * 8;

	for (__u32 i = 0; i < MAX_CPUS; i++) {
		if (i >= n)
			break;
		bpf_probe_read_kernel(&values[i], sizeof(values[i]), value + i * size);
	}
	return n;
}

#endif /* TARGET_BPF_H */
