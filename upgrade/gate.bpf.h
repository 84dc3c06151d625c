/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Refuses the old version's changes in events that the new version handles. */

static __always_inline bool upgrade_is_noted(struct bpf_map *map)
{
	return map == (struct bpf_map *)&UPGRADE_OLD_MAP && upgrade_event_is_noted();
}

static __always_inline int upgrade_gate(struct bpf_map *map)
{
	return upgrade_is_noted(map) ? -UPGRADE_EPERM : 0;
}

/*
 * The kernel skips a program that interrupts a run of itself on the same CPU. So there
 * are as many as contexts that can interrupt one another: tasks, softirqs, hardirqs and
 * NMIs. A change runs all of them until one refuses it, and at least one is not skipped,
 * unless a task was preempted in it.
 */
#define UPGRADE_GATE(update, delete)					\
SEC("?fmod_ret/bpf_map_trace_update_elem")				\
int UPGRADE_PROG(update, struct bpf_map *map)				\
{									\
	return upgrade_gate(map);					\
}									\
									\
SEC("?fmod_ret/bpf_map_trace_delete_elem")				\
int UPGRADE_PROG(delete, struct bpf_map *map)				\
{									\
	return upgrade_gate(map);					\
}

UPGRADE_GATE(upgrade_gate_update, upgrade_gate_delete)
UPGRADE_GATE(upgrade_gate_update_2, upgrade_gate_delete_2)
UPGRADE_GATE(upgrade_gate_update_3, upgrade_gate_delete_3)
UPGRADE_GATE(upgrade_gate_update_4, upgrade_gate_delete_4)

/* These run after it, and see what got through. */
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
