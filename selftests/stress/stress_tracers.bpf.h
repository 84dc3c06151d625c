/* SPDX-License-Identifier: GPL-2.0-only */
/* Part of stress.bpf.c: the programs that are attached and detached all the time. */
#ifndef STRESS_TRACERS_BPF_H
#define STRESS_TRACERS_BPF_H

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(nest, struct bpf_map *map)
{
	struct stress_slot *slot = slot_of(bpf_get_current_pid_tgid());
	__u32 path = path_here(), key = 0;

	/* Only in one of our threads, which the observer knows by its slot. */
	if (map != (struct bpf_map *)&target || !path || path != slot->path)
		return 0;
	slot->path = PATH_NESTED;
	update(PATH_NESTED, &key, BPF_ANY);
	slot->path = path;
	return 0;
}

static __always_inline int veto(struct bpf_map *map, __u32 *key)
{
	if (map->key_size != sizeof(*key) || *key != STRESS_VETO_KEY)
		return 0;
	__sync_fetch_and_add(&vetoed, 1);
	return STRESS_VETO;
}

SEC("fmod_ret/bpf_map_trace_update_elem")
int BPF_PROG(veto_update, struct bpf_map *map, __u32 *key)
{
	return veto(map, key);
}

SEC("fmod_ret/bpf_map_trace_delete_elem")
int BPF_PROG(veto_delete, struct bpf_map *map, __u32 *key)
{
	return veto(map, key);
}

SEC("fexit/bpf_map_trace_update_elem")
int BPF_PROG(exit_update, struct bpf_map *map, void *key, void *value, u64 map_flags,
	     int ret)
{
	if (ret && ret != STRESS_VETO)
		__sync_fetch_and_add(&odd, 1);
	return 0;
}

SEC("fexit/bpf_map_trace_delete_elem")
int BPF_PROG(exit_delete, struct bpf_map *map, void *key, int ret)
{
	if (ret && ret != STRESS_VETO)
		__sync_fetch_and_add(&odd, 1);
	return 0;
}

#endif /* STRESS_TRACERS_BPF_H */
