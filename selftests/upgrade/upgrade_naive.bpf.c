// SPDX-License-Identifier: GPL-2.0-only
/*
 * The new version without the library, done the two obvious ways: copy the map
 * and switch; or mirror every change, copy the rest, and switch.
 */
#include "upgrade_new.bpf.h"

const volatile bool percpu;
volatile __u32 active;		/* set by the switch */

#define upgrade_active() active
#define upgrade_before_read(key) 0L
#define upgrade_before_write(key) 0L
#define upgrade_update_elem(key, value, flags) \
	bpf_map_update_elem(&new_map, key, value, flags)
#define upgrade_delete_elem(key) bpf_map_delete_elem(&new_map, key)
#include "upgrade_new_event.bpf.h"

static __always_inline void put(const __u32 *key, const struct old_value *value)
{
	struct new_value new_value;
	__u32 new_key;

	upgrade_convert_key(key, &new_key);
	upgrade_convert_value(value, &new_value);
	bpf_map_update_elem(&new_map, &new_key, &new_value, BPF_ANY);
}

/* For a per-CPU map: `all` holds one value for each CPU. */
static __always_inline void put_all(const __u32 *key, const void *all)
{
	struct new_value zero = {}, *new;
	struct old_value value;
	__u32 new_key;

	upgrade_convert_key(key, &new_key);
	if (!bpf_map_lookup_elem(&new_map, &new_key))
		bpf_map_update_elem(&new_map, &new_key, &zero, BPF_ANY);
	for (__u32 cpu = 0; cpu < LOAD_CPUS; cpu++) {
		new = bpf_map_lookup_percpu_elem(&new_map, &new_key, cpu);
		if (!new || bpf_probe_read_kernel(&value, sizeof(value), all + cpu * 8))
			return;
		upgrade_convert_value(&value, new);
	}
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(mirror_update, struct bpf_map *map, __u32 *key, struct old_value *value,
	     u64 map_flags)
{
	struct old_value v;
	__u32 k;

	if (map != (struct bpf_map *)&old_map)
		return 0;
	bpf_probe_read_kernel(&k, sizeof(k), key);
	if (percpu && !(map_flags & BPF_F_CPU)) {
		put_all(&k, value);
		return 0;
	}
	bpf_probe_read_kernel(&v, sizeof(v), value);
	put(&k, &v);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(mirror_delete, struct bpf_map *map, __u32 *key)
{
	__u32 k, new_key;

	if (map != (struct bpf_map *)&old_map)
		return 0;
	bpf_probe_read_kernel(&k, sizeof(k), key);
	upgrade_convert_key(&k, &new_key);
	bpf_map_delete_elem(&new_map, &new_key);
	return 0;
}

SEC("iter/bpf_map_elem")
int copy(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 *key = ctx->key, k;
	void *value = ctx->value;

	if (!key || !value)
		return 0;
	k = *key;
	if (percpu)
		put_all(&k, value);
	else
		put(&k, value);
	return 0;
}
