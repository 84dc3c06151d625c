// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attached to the library's programs on the hooks: each of their runs changes a map,
 * and they, which are running, do not see that change: a recursion miss.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "events.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_map SEC(".maps");

SEC("?fentry/upgrade_mark_update")
int nest(void *ctx)
{
	__u32 zero = 0;

	bpf_map_update_elem(&other_map, &zero, &zero, BPF_ANY);
	return 0;
}

/* The test replaces this one and upgrade_events by the maps of an upgrade. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} old_map SEC(".maps");

__u32 replaces;

/* Replace an element whenever one is looked up. */
SEC("?fentry/__htab_map_lookup_elem")
int BPF_PROG(replace, struct bpf_map *map)
{
	__u64 value = 77;
	__u32 key = 1;

	if (replaces && map == (struct bpf_map *)&old_map)
		bpf_map_update_elem(&old_map, &key, &value, BPF_ANY);
	return 0;
}

__u32 levels;		/* of interrupts that interrupt one another, at most 4 */
__u32 level;		/* of the last one */
__u32 noted;		/* the new version handles their events, too */
long result[4];

/* An interrupt of a program of the gate: an event with both versions. */
static void interrupt(__u32 at)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 event = (__u64)BPF_CORE_READ(task, bpf_ctx), value = 77;
	__u32 key = 1;

	if (level != at || level == levels)
		return;
	level++;
	if (noted)
		upgrade_add_event(event);
	result[at] = bpf_map_update_elem(&old_map, &key, &value, BPF_ANY);
}

#define INTERRUPT(program, at)			\
SEC("?fentry/upgrade_gate_update")		\
int program(void *ctx)				\
{						\
	interrupt(at);				\
	return 0;				\
}

INTERRUPT(first, 0)
INTERRUPT(second, 1)
INTERRUPT(third, 2)
INTERRUPT(fourth, 3)
