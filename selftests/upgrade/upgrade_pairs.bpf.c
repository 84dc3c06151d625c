// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_pairs_old.bpf.c, with other layouts of both maps. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_pairs.h"
#include "upgrade_wide.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAIRS_KEYS);
	__type(key, struct wide_key);
	__type(value, __u64);
} flows_map SEC(".maps");

#define UPGRADE_NAME flows
#define UPGRADE_OLD_MAP old_flows
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_MAP flows_map
#define UPGRADE_NEW_KEY struct wide_key
#define UPGRADE_NEW_VALUE __u64

static __always_inline void flows_convert_key(const __u32 *old, struct wide_key *new)
{
	new->key = *old;
}

static __always_inline void flows_revert_key(const struct wide_key *new, __u32 *old)
{
	*old = new->key;
}

static __always_inline void flows_convert_value(const __u64 *old, __u64 *new)
{
	*new = *old;
}

#include "upgrade.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PAIRS_KEYS);
	__type(key, __u32);
	__type(value, struct wide_count);
} totals_map SEC(".maps");

#define UPGRADE_NAME totals
#define UPGRADE_OLD_MAP old_totals
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_MAP totals_map
#define UPGRADE_NEW_KEY __u32
#define UPGRADE_NEW_VALUE struct wide_count

static __always_inline void totals_convert_key(const __u32 *old, __u32 *new)
{
	*new = *old;
}

static __always_inline void totals_revert_key(const __u32 *new, __u32 *old)
{
	*old = *new;
}

static __always_inline void totals_convert_value(const __u64 *old, struct wide_count *new)
{
	new->count = *old;
}

#include "upgrade.bpf.h"

__u64 events, differed, failed;

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(new_event, const struct pt_regs *regs)
{
	__u32 key = regs->di - PAIRS_MAGIC;
	struct wide_key wide = { .key = key };
	struct wide_count *total, count = {};
	__u64 *flow, next;

	if (key >= PAIRS_KEYS || !upgrade_active())
		return 0;
	if (flows_before_read(&wide) || totals_before_read(&key)) {
		__sync_fetch_and_add(&failed, 1);
		return 0;
	}
	flow = bpf_map_lookup_elem(&flows_map, &wide);
	total = bpf_map_lookup_elem(&totals_map, &key);
	if (!total)
		return 0;
	next = flow ? *flow + 1 : 1;
	count.count = total->count + 1;
	if (next != count.count)
		__sync_fetch_and_add(&differed, 1);
	__sync_fetch_and_add(&events, 1);
	if (flows_update_elem(&wide, &next, BPF_ANY) ||
	    totals_update_elem(&key, &count, BPF_ANY))
		__sync_fetch_and_add(&failed, 1);
	return 0;
}
