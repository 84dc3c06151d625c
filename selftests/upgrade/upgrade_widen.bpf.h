/* SPDX-License-Identifier: GPL-2.0-only */
/* A map of which the key becomes wider; the loader sets the sizes. */
#ifndef UPGRADE_WIDEN_BPF_H
#define UPGRADE_WIDEN_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_slow.bpf.h"
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
	__uint(max_entries, 1);
	__type(key, struct wide_key);
	__type(value, __u64);
} new_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_KEY struct wide_key
#define UPGRADE_NEW_VALUE __u64

/* In conversions of a value, and of a key. The library has the lock of the key. */
struct slow_point slow_value, slow_revert;

static __always_inline void upgrade_convert_key(const __u32 *old, struct wide_key *new)
{
	new->key = *old;
}

static __always_inline void upgrade_revert_key(const struct wide_key *new, __u32 *old)
{
	slow_down(&slow_revert);
	*old = new->key;
}

static __always_inline void upgrade_convert_value(const __u64 *old, __u64 *new)
{
	slow_down(&slow_value);
	*new = *old;
}

#include "upgrade.bpf.h"

#endif /* UPGRADE_WIDEN_BPF_H */
