/* SPDX-License-Identifier: GPL-2.0-only */
/* A per-CPU pointer that is given to a program as a number. */
#ifndef PER_CPU_BPF_H
#define PER_CPU_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Tells how far from a per-CPU pointer each CPU's copy is: as far as for its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} any SEC(".maps");

/* The number of a pointer, which the verifier lets nothing unknown be subtracted from. */
static __always_inline __u64 number(const void *pointer)
{
	__u64 n = 0;

	bpf_probe_read_kernel(&n, sizeof(n), &pointer);
	return n;
}

/* Where `per_cpu` points to for that CPU. */
static __always_inline void *on_cpu(void *per_cpu, __u32 cpu)
{
	struct bpf_array *array = bpf_core_cast(&any, struct bpf_array);
	__u64 own = (__u64)BPF_CORE_READ(array, pptrs[0]);
	__u32 zero = 0;

	return per_cpu + (number(bpf_map_lookup_percpu_elem(&any, &zero, cpu)) - own);
}

#endif /* PER_CPU_BPF_H */
