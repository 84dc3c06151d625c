// SPDX-License-Identifier: GPL-2.0-only
/* Counts the reports of one map, and stores into a map in ways not reported. */
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
} stored SEC(".maps");

/* By id, not by pointer: the programs must not keep the map alive. */
__u32 watched_id;
__u64 updates, deletions;

/* The value to store. */
__u64 number;

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(on_update, struct bpf_map *map)
{
	if (map->id == watched_id)
		__sync_fetch_and_add(&updates, 1);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(on_delete, struct bpf_map *map)
{
	if (map->id == watched_id)
		__sync_fetch_and_add(&deletions, 1);
	return 0;
}

SEC("syscall")
int store_by_lookup(void *ctx)
{
	__u32 key = 2;
	__u64 *value = bpf_map_lookup_elem(&stored, &key);

	if (value)
		*value = number;
	return 0;
}

static long store(struct bpf_map *map, __u32 *key, __u64 *value, void *ctx)
{
	*value = number;
	return 0;
}

SEC("syscall")
int store_by_callback(void *ctx)
{
	bpf_for_each_map_elem(&stored, store, NULL, 0);
	return 0;
}

SEC("iter/bpf_map_elem")
int store_by_iterator(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *value = ctx->value;

	if (value)
		*value = number;
	return 0;
}
