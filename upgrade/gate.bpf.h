/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Refuses the old version's changes in events that the new version handles. */

static __always_inline bool upgrade_is_noted(struct bpf_map *map)
{
	return map == (struct bpf_map *)&UPGRADE_OLD_MAP && upgrade_event_is_noted();
}

SEC("?fmod_ret/bpf_map_trace_update_elem")
int UPGRADE_PROG(upgrade_gate_update, struct bpf_map *map)
{
	return upgrade_is_noted(map) ? -UPGRADE_EPERM : 0;
}

SEC("?fmod_ret/bpf_map_trace_delete_elem")
int UPGRADE_PROG(upgrade_gate_delete, struct bpf_map *map)
{
	return upgrade_is_noted(map) ? -UPGRADE_EPERM : 0;
}

/*
 * The kernel skips a run of the gate that interrupts another one on the same CPU.
 * These run after it, and see what got through.
 */
static __always_inline void upgrade_check_gate(struct bpf_map *map, int result)
{
	if (!result && upgrade_is_noted(map))
		__sync_fetch_and_add(&upgrade.handled_twice, 1);
}

SEC("?fexit/bpf_map_trace_update_elem")
int UPGRADE_PROG(upgrade_passed_update, struct bpf_map *map, void *key, void *value,
		 __u64 map_flags, int result)
{
	upgrade_check_gate(map, result);
	return 0;
}

SEC("?fexit/bpf_map_trace_delete_elem")
int UPGRADE_PROG(upgrade_passed_delete, struct bpf_map *map, void *key, int result)
{
	upgrade_check_gate(map, result);
	return 0;
}
