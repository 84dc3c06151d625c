// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two versions of which each records what the other does not: events that one of
 * them handles are in one map, and not in the other.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_once.h"
#include "upgrade_slow.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps"), new_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_KEY __u32
#define UPGRADE_NEW_VALUE __u64

static __always_inline void upgrade_convert_key(const __u32 *old, __u32 *new)
{
	*new = *old;
}

static __always_inline void upgrade_revert_key(const __u32 *new, __u32 *old)
{
	*old = *new;
}

static __always_inline void upgrade_convert_value(const __u64 *old, __u64 *new)
{
	*new = *old;
}

#include "upgrade.bpf.h"

__u32 handled[ONCE_KEYS];	/* by the new version */
long old_result[ONCE_KEYS];
__u32 slow_key;			/* of an event in which the old version spins */
struct slow_point slow_old;

static __always_inline __u32 key_of(const struct pt_regs *regs)
{
	return regs->di - ONCE_MAGIC;
}

/* The old version records every event. */
SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(old_event, const struct pt_regs *regs)
{
	__u32 key = key_of(regs);
	__u64 value = key;

	if (key < ONCE_KEYS) {
		if (key == slow_key)
			slow_down(&slow_old);
		old_result[key % ONCE_KEYS] = bpf_map_update_elem(&old_map, &key, &value,
								  BPF_ANY);
	}
	return 0;
}

/* An update of the new map, on this CPU. */
SEC("?syscall")
int new_update(struct once_update *update)
{
	update->result = upgrade_update_elem(&update->key, &update->value, BPF_ANY);
	return 0;
}

/* The new version deliberately records none. */
SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(new_event, const struct pt_regs *regs)
{
	__u32 key = key_of(regs);

	if (key < ONCE_KEYS && upgrade_active())
		handled[key]++;
	return 0;
}
