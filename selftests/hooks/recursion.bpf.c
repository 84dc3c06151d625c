// SPDX-License-Identifier: GPL-2.0-only
/* Programs that change traced maps from the hooks that they are attached to. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

/* The tests set type and flags before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} traced SEC(".maps"), other SEC(".maps");

__u64 own_update_runs, own_delete_runs, there_runs, back_runs, seen_other;
long nested_error;

static __always_inline void put(void *map, __u32 key)
{
	__u64 value = key;
	long err = bpf_map_update_elem(map, &key, &value, BPF_ANY);

	if (err)
		nested_error = err;
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(own_update, struct bpf_map *map)
{
	if (map != (struct bpf_map *)&traced)
		return 0;
	own_update_runs++;
	put(&traced, 3);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(own_delete, struct bpf_map *map)
{
	__u32 key = 3;
	long err;

	if (map != (struct bpf_map *)&traced)
		return 0;
	own_delete_runs++;
	err = bpf_map_delete_elem(&traced, &key);
	if (err)
		nested_error = err;
	return 0;
}

/* From one map to the other and back: two programs in a circle. */
SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(there, struct bpf_map *map)
{
	if (map != (struct bpf_map *)&traced)
		return 0;
	there_runs++;
	put(&other, 4);
	return 0;
}

SEC("fmod_ret/bpf_map_trace_update_elem")
int BPF_PROG(back, struct bpf_map *map)
{
	if (map != (struct bpf_map *)&other)
		return 0;
	back_runs++;
	put(&traced, 5);
	return 0;
}

/* Changes nothing, so it is never skipped. */
SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(watch_other, struct bpf_map *map)
{
	if (map == (struct bpf_map *)&other)
		seen_other++;
	return 0;
}

/* Vetoes each update of one map, and makes one itself when the other is updated. */
SEC("fmod_ret/bpf_map_trace_update_elem")
int BPF_PROG(guard, struct bpf_map *map)
{
	if (map == (struct bpf_map *)&traced)
		return -1; /* -EPERM */
	if (map == (struct bpf_map *)&other)
		put(&traced, 6);
	return 0;
}
