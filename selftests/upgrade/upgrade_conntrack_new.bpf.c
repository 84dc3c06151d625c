// SPDX-License-Identifier: GPL-2.0-only
/* The next version of upgrade_conntrack_old.bpf.c, in which flows have a protocol. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "upgrade_conntrack.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct ct_old_key);
	__type(value, struct ct_old_value);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CT_ENTRIES);
	__type(key, struct ct_new_key);
	__type(value, struct ct_new_value);
} new_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY struct ct_old_key
#define UPGRADE_OLD_VALUE struct ct_old_value
#define UPGRADE_NEW_KEY struct ct_new_key
#define UPGRADE_NEW_VALUE struct ct_new_value

static __always_inline void upgrade_convert_key(const struct ct_old_key *old,
						struct ct_new_key *new)
{
	__builtin_memcpy(new, old, sizeof(*old));
	new->proto = CT_TCP;
}

static __always_inline void upgrade_revert_key(const struct ct_new_key *new,
					       struct ct_old_key *old)
{
	__builtin_memcpy(old, new, sizeof(*old));
}

static __always_inline void upgrade_convert_value(const struct ct_old_value *old,
						  struct ct_new_value *new)
{
	new->packets = old->packets;
}

#include "upgrade.bpf.h"

/* Packets that it could not judge are dropped: none, or the upgrade fails. */
SEC("xdp")
int track(struct xdp_md *ctx)
{
	struct ct_packet *p = (void *)(long)ctx->data;
	struct ct_new_value one = { 1 }, *found;
	struct ct_new_key key = {};

	if ((void *)(p + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	__builtin_memcpy(&key, &p->flow, sizeof(p->flow));
	key.proto = p->proto;
	one.bytes = sizeof(*p);

	if (!upgrade_active() || upgrade_before_write(&key))
		return XDP_DROP;
	found = bpf_map_lookup_elem(&new_map, &key);
	p->version = 2;
	p->verdict = found ? found->packets : 0;
	if (p->last) {
		upgrade_delete_elem(&key);
	} else if (found) {
		found->packets++;
		found->bytes += one.bytes;
	} else {
		upgrade_update_elem(&key, &one, BPF_NOEXIST);
	}
	return XDP_PASS;
}
