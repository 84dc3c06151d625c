// SPDX-License-Identifier: GPL-2.0-only
/* A map, programs that record its changes, and programs that change it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "target.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;

int veto_update, veto_delete;

/* Filled by plain stores: recording must not change a map itself. */
struct event events[MAX_EVENTS];
__u32 n_events;

static __always_inline struct event *record(struct bpf_map *map, void *key,
					    enum hook hook, enum via via)
{
	struct event *e;
	__u32 n, k = 0;

	if (map->id != target_id)
		return NULL;

	n = __sync_fetch_and_add(&n_events, 1);
	if (n >= MAX_EVENTS)
		return NULL;

	e = &events[n];
	e->hook = hook;
	e->via = via;
	e->map_id = map->id;
	e->elem_count = bpf_map_sum_elem_count((struct bpf_map *)&target);
	bpf_probe_read_kernel(&k, sizeof(k), key);
	e->key = k;

	e->found = look_up(k, e->old);
	return e;
}

static __always_inline void record_update(struct bpf_map *map, void *key,
					  void *value, __u64 map_flags,
					  enum via via)
{
	struct event *e = record(map, key, HOOK_UPDATE, via);

	if (!e)
		return;
	e->map_flags = map_flags;
	e->n_values = read_values(value, map_flags, e->values);
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(fentry_update, struct bpf_map *map, void *key, void *value,
	     u64 map_flags)
{
	record_update(map, key, value, map_flags, VIA_FENTRY);
	return 0;
}

SEC("fexit/bpf_map_trace_update_elem")
int BPF_PROG(fexit_update, struct bpf_map *map, void *key, void *value,
	     u64 map_flags)
{
	record_update(map, key, value, map_flags, VIA_FEXIT);
	return 0;
}

SEC("fmod_ret/bpf_map_trace_update_elem")
int BPF_PROG(fmod_ret_update, struct bpf_map *map, void *key, void *value,
	     u64 map_flags)
{
	record_update(map, key, value, map_flags, VIA_FMOD_RET);
	return map->id == target_id ? veto_update : 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(fentry_delete, struct bpf_map *map, void *key)
{
	record(map, key, HOOK_DELETE, VIA_FENTRY);
	return 0;
}

SEC("fexit/bpf_map_trace_delete_elem")
int BPF_PROG(fexit_delete, struct bpf_map *map, void *key)
{
	record(map, key, HOOK_DELETE, VIA_FEXIT);
	return 0;
}

SEC("fmod_ret/bpf_map_trace_delete_elem")
int BPF_PROG(fmod_ret_delete, struct bpf_map *map, void *key)
{
	record(map, key, HOOK_DELETE, VIA_FMOD_RET);
	return map->id == target_id ? veto_delete : 0;
}

SEC("syscall")
int op_update(struct op *op)
{
	struct elem_value value = op->value;
	__u32 key = op->key;

	op->result = bpf_map_update_elem(&target, &key, &value, op->flags);
	return 0;
}

SEC("syscall")
int op_delete(struct op *op)
{
	__u32 key = op->key;

	op->result = bpf_map_delete_elem(&target, &key);
	return 0;
}
