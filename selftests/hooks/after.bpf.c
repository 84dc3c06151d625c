// SPDX-License-Identifier: GPL-2.0-only
/* Programs on the after-hooks, which record what was changed. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "per_cpu.bpf.h"
#include "target.bpf.h"
#include "after.h"

char LICENSE[] SEC("license") = "GPL";

bool change_again, add_another;

/* Filled by plain stores: recording must not change a map itself. */
struct after_event after[MAX_EVENTS];
__u32 n_after;

static __always_inline struct after_event *record(struct bpf_map *map, void *key,
						  enum after_hook hook)
{
	struct after_event *e;
	__u32 n, k = 0;

	if (map->id != target_id)
		return NULL;
	n = __sync_fetch_and_add(&n_after, 1);
	if (n >= MAX_EVENTS)
		return NULL;

	e = &after[n];
	e->hook = hook;
	bpf_probe_read_kernel(&k, sizeof(k), key);
	e->key = k;
	e->found = look_up(k, e->now);
	return e;
}

SEC("fentry/bpf_map_trace_updated")
int BPF_PROG(on_updated, struct bpf_map *map, void *key, void *value, u64 map_flags)
{
	struct after_event *e = record(map, key, HOOK_UPDATED);
	__u32 k;

	if (!e)
		return 0;
	e->map_flags = map_flags;
	e->n_values = read_values(value, map_flags, e->values);
	/* The element exists, unless a lock is held that this needs. */
	if (change_again) {
		struct elem_value again = {};

		k = e->key;
		e->again = bpf_map_update_elem(&target, &k, &again, BPF_NOEXIST);
	}
	return 0;
}

SEC("fentry/bpf_map_trace_deleted")
int BPF_PROG(on_deleted, struct bpf_map *map, void *key, void *value, void *values)
{
	struct elem_value another = { ~0U, ~0U, ~0U };
	struct after_event *e;
	__u32 k = ANOTHER_KEY;

	/* Would use the memory of the deleted element if that was free. */
	if (add_another && map->id == target_id)
		bpf_map_update_elem(&target, &k, &another, BPF_ANY);
	e = record(map, key, HOOK_DELETED);
	if (!e)
		return 0;
	e->n_values = percpu ? nr_cpus : 1;
	for (__u32 cpu = 0; cpu < MAX_CPUS; cpu++) {
		if (cpu >= e->n_values)
			break;
		bpf_probe_read_kernel(&e->values[cpu], sizeof(e->values[cpu]),
				      percpu ? on_cpu(values, cpu) : value);
	}
	bpf_probe_read_kernel(&e->here, sizeof(e->here), value);
	if (change_again) {
		k = e->key;
		e->again = bpf_map_delete_elem(&target, &k);
	}
	return 0;
}
