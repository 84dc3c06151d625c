// SPDX-License-Identifier: GPL-2.0-only
/* The old version: a program for each of two links counts packets in one map. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "upgrade_links.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LINKS_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps");

__u64 events;

static __always_inline void count(void)
{
	__u32 key = bpf_get_smp_processor_id();
	__u64 *found = bpf_map_lookup_elem(&old_map, &key), next;

	next = found ? *found + 1 : 1;
	bpf_map_update_elem(&old_map, &key, &next, BPF_ANY);
	__sync_fetch_and_add(&events, 1);
}

SEC("tcx/ingress")
int old_first(struct __sk_buff *skb)
{
	count();
	return TCX_NEXT;
}

SEC("tcx/ingress")
int old_second(struct __sk_buff *skb)
{
	count();
	return TCX_DROP;
}
