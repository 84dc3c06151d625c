/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The new version counts in 64 bits, and also how many calls it has counted itself.
 * KIND is the type of its map. With COUNTER, the value can be as large as the old
 * one's. With MOVES, it counts in another element than the old version does.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct old_count {
	__u32 calls;
};

#ifndef COUNTER
#define COUNTER __u64
#endif

struct count {
	COUNTER calls;
	COUNTER by_new;
};

struct {
	__uint(type, KIND);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct old_count);
} upgrade_old_map SEC(".maps");

struct {
	__uint(type, KIND);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} settings SEC(".maps");

#define UPGRADE_OLD_MAP upgrade_old_map
#define UPGRADE_NEW_MAP counts
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE struct old_count
#define UPGRADE_NEW_KEY __u32
#define UPGRADE_NEW_VALUE struct count

static __always_inline void upgrade_convert_key(const __u32 *old, __u32 *new)
{
	*new = *old;
}

static __always_inline void upgrade_revert_key(const __u32 *new, __u32 *old)
{
	*old = *new;
}

static __always_inline void upgrade_convert_value(const struct old_count *old, struct count *new)
{
	new->calls = old->calls;
}

#include "upgrade.bpf.h"

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(count_calls, struct pt_regs *regs)
{
	__u32 pid = regs->di, zero = 0;
	struct count *found, count = {};
	__u32 *step;

	if (!upgrade_active() || upgrade_before_read(&pid))
		return 0;
#ifdef MOVES
	/* So that nothing comes of what the old version counts meanwhile. */
	if (upgrade_before_write(&pid))
		return 0;
	pid++;
	if (upgrade_before_read(&pid))
		return 0;
#endif
	step = bpf_map_lookup_elem(&settings, &zero);
	found = bpf_map_lookup_elem(&counts, &pid);
	if (found)
		count = *found;
	count.calls += step ? *step : 0;
	count.by_new++;
	upgrade_update_elem(&pid, &count, BPF_ANY);
	return 0;
}
