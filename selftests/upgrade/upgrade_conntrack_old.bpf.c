// SPDX-License-Identifier: GPL-2.0-only
/* A connection tracker that has never heard of upgrades. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "upgrade_conntrack.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CT_ENTRIES);
	__type(key, struct ct_old_key);
	__type(value, struct ct_old_value);
} old_map SEC(".maps");

SEC("xdp")
int track(struct xdp_md *ctx)
{
	struct ct_packet *p = (void *)(long)ctx->data;
	struct ct_old_value one = { 1 }, *found;
	struct ct_old_key key;

	if ((void *)(p + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	key = p->flow;
	found = bpf_map_lookup_elem(&old_map, &key);
	p->version = 1;
	p->verdict = found ? found->packets : 0;
	if (p->last)
		bpf_map_delete_elem(&old_map, &key);
	else if (found)
		found->packets++;	/* no hook sees this */
	else
		bpf_map_update_elem(&old_map, &key, &one, BPF_NOEXIST);
	return XDP_PASS;
}
