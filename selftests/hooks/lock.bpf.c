// SPDX-License-Identifier: GPL-2.0-only
/* A map with locks in its values, programs that record its changes, and one that makes them. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct locked_value {
	struct bpf_spin_lock lock;
	__u32 number;
};

/* The tests set type and flags before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct locked_value);
} locked SEC(".maps");

__u64 updates, deletions, flags;
__u32 key_seen, number_seen, number_found;

/* Arguments and result of op_update. */
__u32 op_key, op_number;
__u64 op_flags;
long op_result;

static __always_inline void look(void *key)
{
	struct locked_value *value;
	__u32 k = 0;

	bpf_probe_read_kernel(&k, sizeof(k), key);
	key_seen = k;
	value = bpf_map_lookup_elem(&locked, &k);
	number_found = value ? value->number : 0;
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(on_update, struct bpf_map *map, void *key,
	     struct locked_value *value, u64 map_flags)
{
	if (map != (struct bpf_map *)&locked)
		return 0;
	updates++;
	flags = map_flags;
	bpf_probe_read_kernel(&number_seen, sizeof(number_seen),
			      (void *)value + sizeof(struct bpf_spin_lock));
	look(key);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(on_delete, struct bpf_map *map, void *key)
{
	if (map != (struct bpf_map *)&locked)
		return 0;
	deletions++;
	look(key);
	return 0;
}

/* Only loaded on its own, for the map of another object. */
SEC("?fentry/bpf_map_trace_updated")
int BPF_PROG(on_updated, struct bpf_map *map, void *key)
{
	if (map != (struct bpf_map *)&locked)
		return 0;
	updates++;
	look(key);
	return 0;
}

SEC("syscall")
int op_update(void *ctx)
{
	struct locked_value value = { .number = op_number };
	__u32 key = op_key;

	op_result = bpf_map_update_elem(&locked, &key, &value, op_flags);
	return 0;
}
