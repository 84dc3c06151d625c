// SPDX-License-Identifier: GPL-2.0-only
/* The version to be replaced; it knows nothing of upgrades. */
#include "upgrade_event.bpf.h"

static __always_inline long old_op(const struct load_op *op)
{
	struct old_value value = { op->stamp }, *found;
	__u32 key = op->key, stamp;

	if (op->kind == LOAD_READ) {
		found = bpf_map_lookup_elem(&old_map, &key);
		stamp = found ? found->stamp : 0;
		return found && is_still_at(&old_map, &key, found) ? (long)stamp : -ENOENT;
	}
	if (op->kind == LOAD_DELETE)
		return bpf_map_delete_elem(&old_map, &key);
	return bpf_map_update_elem(&old_map, &key, &value, op->flags);
}

EVENT(old, LOAD_OLD, true)

static long nothing(__u32 i, void *ctx)
{
	return 0;
}

/* Once in a while, let a lot of time pass between a report and its change. */
static __always_inline void dawdle(struct bpf_map *map)
{
	if (map == (struct bpf_map *)&old_map && bpf_get_prandom_u32() % 128 == 0)
		bpf_loop(LOAD_DAWDLE, nothing, NULL, 0);
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(dawdle_update, struct bpf_map *map)
{
	dawdle(map);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(dawdle_delete, struct bpf_map *map)
{
	dawdle(map);
	return 0;
}

__u32 reused_for;	/* the key that takes over an element that is found; 0: none */
__u32 reused;		/* elements */

/* Delete an element that has just been found, as an eviction would, and have it reused. */
SEC("?fexit/__htab_map_lookup_elem")
int BPF_PROG(reuse_found, struct bpf_map *map, void *key, struct htab_elem *found)
{
	struct old_value value = { reused_for };
	__u32 other = reused_for, old;

	if (!other || !found || map != (struct bpf_map *)&old_map)
		return 0;
	bpf_probe_read_kernel(&old, sizeof(old), key);
	bpf_map_delete_elem(&old_map, &old);
	bpf_map_update_elem(&old_map, &other, &value, BPF_ANY);
	bpf_probe_read_kernel(&old, sizeof(old), found->key);
	reused += old == other;
	return 0;
}
