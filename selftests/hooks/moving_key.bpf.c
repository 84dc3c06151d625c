// SPDX-License-Identifier: GPL-2.0-only
/* A program that changes the key of the update that it is called for. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

/*
 * The test sets the type before loading. The number of entries is no power of two, so
 * the mask that limits speculation does not keep an index in bounds.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} traced SEC(".maps");

__u32 key, next_key, updates;
__u64 number;
long op_result;

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(move_key, struct bpf_map *map)
{
	if (map != (struct bpf_map *)&traced)
		return 0;
	updates++;
	key = next_key;
	return 0;
}

SEC("syscall")
int op_update(void *ctx)
{
	op_result = bpf_map_update_elem(&traced, &key, &number, BPF_ANY);
	return 0;
}
