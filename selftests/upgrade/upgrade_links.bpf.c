// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_links_old.bpf.c, which calls that one until the switch. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_links.h"
#include "upgrade_wide.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LINKS_KEYS);
	__type(key, struct wide_key);
	__type(value, __u64);
} new_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_NEW_KEY struct wide_key
#define UPGRADE_NEW_VALUE __u64

static __always_inline void upgrade_convert_key(const __u32 *old, struct wide_key *new)
{
	new->key = *old;
}

static __always_inline void upgrade_revert_key(const struct wide_key *new, __u32 *old)
{
	*old = new->key;
}

static __always_inline void upgrade_convert_value(const __u64 *old, __u64 *new)
{
	*new = *old;
}

#include "upgrade.bpf.h"

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
