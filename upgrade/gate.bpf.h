/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * From the switch until the old version is detached, an event runs both versions:
 * the new one handles it and notes that here, and then the old one's changes of its
 * map are refused. An event is told from others by where its trampoline keeps the
 * context of the program that it runs, which is the same for all its programs. As
 * long as an event lasts, no other one has the same place on a stack; and no later
 * event there can be the old version's.
 */
#ifndef UPGRADE_GATE_BPF_H
#define UPGRADE_GATE_BPF_H

#include <bpf/bpf_core_read.h>

#define UPGRADE_EPERM 1

/* Events that the new version handles. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u8);
} upgrade_events SEC(".maps");

/* If there is no room, the old version changes its map, too. */
__noinline int upgrade_note_event(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 event = (__u64)BPF_CORE_READ(task, bpf_ctx);
	__u8 one = 1;

	if (!event || bpf_map_lookup_elem(&upgrade_events, &event))
		return 0;
	if (bpf_map_update_elem(&upgrade_events, &event, &one, BPF_ANY))
		__sync_fetch_and_add(&upgrade.handled_twice, 1);
	return 0;
}

/* For the hooks, which the programs of an event call: does the new version handle it? */
static __always_inline bool upgrade_is_noted(struct bpf_map *map)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_tramp_run_ctx *run;
	__u64 event;

	if (map != (struct bpf_map *)&UPGRADE_OLD_MAP)
		return false;
	run = (struct bpf_tramp_run_ctx *)BPF_CORE_READ(task, bpf_ctx);
	event = (__u64)BPF_CORE_READ(run, saved_run_ctx);
	return bpf_map_lookup_elem(&upgrade_events, &event);
}

SEC("?fmod_ret/bpf_map_trace_update_elem")
int BPF_PROG(upgrade_gate_update, struct bpf_map *map)
{
	return upgrade_is_noted(map) ? -UPGRADE_EPERM : 0;
}

SEC("?fmod_ret/bpf_map_trace_delete_elem")
int BPF_PROG(upgrade_gate_delete, struct bpf_map *map)
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
int BPF_PROG(upgrade_passed_update, struct bpf_map *map, void *key, void *value,
	     __u64 map_flags, int result)
{
	upgrade_check_gate(map, result);
	return 0;
}

SEC("?fexit/bpf_map_trace_delete_elem")
int BPF_PROG(upgrade_passed_delete, struct bpf_map *map, void *key, int result)
{
	upgrade_check_gate(map, result);
	return 0;
}

#endif /* UPGRADE_GATE_BPF_H */
