// SPDX-License-Identifier: GPL-2.0-only
/* A new version that adds a lock, a timer and lists to its values: eight fields. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define CLOCK_MONOTONIC 1

char LICENSE[] SEC("license") = "GPL";

struct item {
	struct bpf_list_node node;
} *no_item;			/* keeps the type in the BTF */

#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))

struct new_value {
	struct bpf_spin_lock lock;
	__u32 count;
	struct bpf_timer timer;
	__u64 sum;
	struct bpf_list_head lists[6] __contains(item, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct new_value);
} new_map SEC(".maps");

/* What a test has upgrade_open() look at instead. */
struct nine_fields {
	struct bpf_spin_lock lock;
	struct bpf_list_head lists[8] __contains(item, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct nine_fields);
} nine_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE __u64
#define UPGRADE_NEW_KEY __u32
#define UPGRADE_NEW_VALUE struct new_value

static __always_inline void upgrade_convert_key(const __u32 *old, __u32 *new)
{
	*new = *old;
}

static __always_inline void upgrade_revert_key(const __u32 *new, __u32 *old)
{
	*old = *new;
}

static __always_inline void upgrade_convert_value(const __u64 *old, struct new_value *new)
{
	new->count = 1;
	new->sum = *old;
}

#include "upgrade.bpf.h"

/* Start a timer in element 1, which stays what it is; add to element 2. */
SEC("syscall")
int new_op(void *ctx)
{
	struct new_value *value;
	__u32 key = 1;

	if (upgrade_before_read(&key))
		return 1;
	value = bpf_map_lookup_elem(&new_map, &key);
	if (!value || bpf_timer_init(&value->timer, &new_map, CLOCK_MONOTONIC))
		return 2;
	key = 2;
	if (upgrade_before_write(&key))
		return 3;
	value = bpf_map_lookup_elem(&new_map, &key);
	if (!value)
		return 4;
	bpf_spin_lock(&value->lock);
	value->count++;
	value->sum += 5;
	bpf_spin_unlock(&value->lock);
	return 0;
}

/* Is the timer of element 1 still the one that was made? */
SEC("syscall")
int has_timer(void *ctx)
{
	struct new_value *value;
	__u32 key = 1;

	value = bpf_map_lookup_elem(&new_map, &key);
	return value && bpf_timer_init(&value->timer, &new_map, CLOCK_MONOTONIC) == -UPGRADE_EBUSY;
}
