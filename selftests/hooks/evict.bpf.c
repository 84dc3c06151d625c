// SPDX-License-Identifier: GPL-2.0-only
/* Programs that account for each element of an LRU map: inserted, deleted, evicted. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "per_cpu.bpf.h"
#include "evict.h"

char LICENSE[] SEC("license") = "GPL";

/* The tests set type, flags and size before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps");

const volatile bool percpu;
const volatile __u32 nr_cpus = 1;

__u32 target_id;
bool change_again, add_another;
__u32 added, not_added;

__u32 updated[EVICT_KEYS], deleted[EVICT_KEYS], evicted[EVICT_KEYS];
__u64 evicted_value[EVICT_KEYS][EVICT_CPUS];
__u32 found;		/* how often a lookup found the element that was evicted */
__u32 other_keys;	/* reports with keys that do not exist */
long again;		/* the result of a change within the program on evictions */

static __always_inline void count(__u32 *counts, __u32 key)
{
	barrier_var(key);	/* or the verifier sees the limit after the access */
	key &= EVICT_KEYS - 1;
	__sync_fetch_and_add(&counts[key], 1);
}

static __always_inline bool of_target(struct bpf_map *map, void *key, __u32 *k)
{
	if (map->id != target_id)
		return false;
	if (!bpf_probe_read_kernel(k, sizeof(*k), key) && *k < EVICT_KEYS)
		return true;
	__sync_fetch_and_add(&other_keys, 1);
	return false;
}

SEC("fentry/bpf_map_trace_updated")
int BPF_PROG(on_updated, struct bpf_map *map, void *key)
{
	__u32 k;

	if (of_target(map, key, &k))
		count(updated, k);
	return 0;
}

SEC("fentry/bpf_map_trace_deleted")
int BPF_PROG(on_deleted, struct bpf_map *map, void *key)
{
	__u32 k;

	if (of_target(map, key, &k))
		count(deleted, k);
	return 0;
}

SEC("fentry/bpf_map_trace_evicted")
int BPF_PROG(on_evicted, struct bpf_map *map, void *key, void *value, void *values)
{
	__u64 other = ~0ULL;
	__u32 k;

	/* Would use the memory of the evicted element if that was free. */
	if (add_another && map->id == target_id) {
		k = EVICT_KEYS - 1 - added++ % 64;
		if (bpf_map_update_elem(&target, &k, &other, BPF_ANY))
			not_added++;
	}
	if (!of_target(map, key, &k))
		return 0;
	if (bpf_map_lookup_elem(&target, &k))
		__sync_fetch_and_add(&found, 1);
	if (change_again)
		again = bpf_map_delete_elem(&target, &k);
	count(evicted, k);
	for (__u32 cpu = 0; cpu < EVICT_CPUS; cpu++) {
		if (cpu >= (percpu ? nr_cpus : 1))
			break;
		bpf_probe_read_kernel(&evicted_value[k & (EVICT_KEYS - 1)][cpu],
				      sizeof(__u64), percpu ? on_cpu(values, cpu) : value);
	}
	return 0;
}

/* What the system call's path does not do: update one CPU's value only. */
__u32 op_key;
__u64 op_value;
long op_result;

SEC("syscall")
int op_update(void *ctx)
{
	__u64 value = op_value;
	__u32 key = op_key;

	op_result = bpf_map_update_elem(&target, &key, &value, BPF_ANY);
	return 0;
}
