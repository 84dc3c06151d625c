/* SPDX-License-Identifier: GPL-2.0-only */
/* The new version's map and conversions, with and without the library. */
#ifndef UPGRADE_NEW_BPF_H
#define UPGRADE_NEW_BPF_H

#include "upgrade_event.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct new_value);
} new_map SEC(".maps");

static __always_inline void upgrade_convert_key(const __u32 *old, __u32 *new)
{
	*new = *old + LOAD_SHIFT;
}

static __always_inline void upgrade_revert_key(const __u32 *new, __u32 *old)
{
	*old = *new - LOAD_SHIFT;
}

static __always_inline void upgrade_convert_value(const struct old_value *old,
						  struct new_value *new)
{
	new->stamp = old->stamp;
	new->check = LOAD_CHECK(old->stamp);
}

#endif /* UPGRADE_NEW_BPF_H */
