// SPDX-License-Identifier: GPL-2.0-only
/* The old version: each event adds one to its key in two maps. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_pairs.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAIRS_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PAIRS_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} totals SEC(".maps");

__u64 events, differed;

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(old_event, const struct pt_regs *regs)
{
	__u32 key = regs->di - PAIRS_MAGIC;
	__u64 *flow, *total, next;

	if (key >= PAIRS_KEYS)
		return 0;
	flow = bpf_map_lookup_elem(&flows, &key);
	total = bpf_map_lookup_elem(&totals, &key);
	if (!total)
		return 0;
	next = flow ? *flow + 1 : 1;
	if (next != *total + 1)
		__sync_fetch_and_add(&differed, 1);
	__sync_fetch_and_add(&events, 1);
	bpf_map_update_elem(&flows, &key, &next, BPF_ANY);
	next = *total + 1;
	bpf_map_update_elem(&totals, &key, &next, BPF_ANY);
	return 0;
}
