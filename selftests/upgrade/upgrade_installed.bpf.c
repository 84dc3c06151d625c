// SPDX-License-Identifier: GPL-2.0-only
/* A new version that is built with the installed headers. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
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
	*new = ~*old;
}

#include <bpf-upgrade/upgrade.bpf.h>
