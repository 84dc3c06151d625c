// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_links_old.bpf.c, which calls that one until the switch. */
#include "upgrade_widen.bpf.h"
#include "upgrade_links.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, LINKS);
	__type(key, __u32);
	__type(value, __u32);
} old_programs SEC(".maps");

__u64 events, failed;
__u64 sent[LINKS_KEYS];		/* by CPU */

static __always_inline void count(void)
{
	struct wide_key key = { .key = bpf_get_smp_processor_id() };
	__u64 *found, next;

	if (upgrade_before_read(&key)) {
		__sync_fetch_and_add(&failed, 1);
		return;
	}
	found = bpf_map_lookup_elem(&new_map, &key);
	next = found ? *found + 1 : 1;
	if (upgrade_update_elem(&key, &next, BPF_ANY))
		__sync_fetch_and_add(&failed, 1);
	__sync_fetch_and_add(&events, 1);
}

SEC("tcx/ingress")
int new_first(struct __sk_buff *skb)
{
	if (!upgrade_active()) {
		bpf_tail_call(skb, &old_programs, 0);
		__sync_fetch_and_add(&failed, 1);
		return TCX_NEXT;
	}
	count();
	return TCX_NEXT;
}

SEC("tcx/ingress")
int new_second(struct __sk_buff *skb)
{
	if (!upgrade_active()) {
		bpf_tail_call(skb, &old_programs, 1);
		__sync_fetch_and_add(&failed, 1);
		return TCX_DROP;
	}
	count();
	return TCX_DROP;
}

/* The kernel passes these packets on as if they had arrived on the loopback device. */
SEC("xdp")
int send(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&sent[bpf_get_smp_processor_id() % LINKS_KEYS], 1);
	return XDP_PASS;
}
