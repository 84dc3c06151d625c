// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attached to the library's programs on the hooks: each of their runs changes a map,
 * and they, which are running, do not see that change: a recursion miss.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_map SEC(".maps");

SEC("?fentry/upgrade_mark_update")
int nest(void *ctx)
{
	__u32 zero = 0;

	bpf_map_update_elem(&other_map, &zero, &zero, BPF_ANY);
	return 0;
}

/* The test replaces both by the maps of an upgrade. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u8);
} upgrade_events SEC(".maps");

__u32 key;		/* to be changed by an event */
__u32 noted;		/* the new version handles it, too */
long result;

/* An interrupt: an event with both versions. */
SEC("?fentry/upgrade_gate_update")
int interrupt(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 event = (__u64)BPF_CORE_READ(task, bpf_ctx), value = 77;
	__u8 one = 1;

	if (!key)
		return 0;
	if (noted)
		bpf_map_update_elem(&upgrade_events, &event, &one, BPF_ANY);
	result = bpf_map_update_elem(&old_map, &key, &value, BPF_ANY);
	key = 0;
	return 0;
}
