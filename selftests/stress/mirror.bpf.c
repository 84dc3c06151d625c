// SPDX-License-Identifier: GPL-2.0-only
/*
 * A second map that is kept equal to the traced one by the after-hooks alone. Short
 * programs note which key has changed; others bring the mirror in line. Both are
 * skipped where they are running already, but a note stays until someone sees to it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "stress.h"

#define ENOENT 2

char LICENSE[] SEC("license") = "GPL";

#define PASSES 8		/* over a key that changes all the time */

/* The test sets types, flags and sizes before loading; the first is the traced map. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STRESS_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} source SEC(".maps"), mirror SEC(".maps");

const volatile bool percpu;
const volatile __u32 nr_cpus = 1;

__u32 source_id;
__u64 changes[MIRROR_HOOKS];
__u32 dirty[STRESS_KEYS];	/* changed since the mirror was last brought in line */
__u32 busy[STRESS_KEYS];	/* someone is at it */
__u64 copies, failed, left;

static __always_inline long copy_values(__u32 *key)
{
	__u64 *from, *to, zero = 0;
	long err = 0;

	if (!bpf_map_lookup_percpu_elem(&mirror, key, 0))
		err = bpf_map_update_elem(&mirror, key, &zero, BPF_ANY);
	for (__u32 cpu = 0; cpu < STRESS_CPUS; cpu++) {
		if (err || cpu >= nr_cpus)
			break;
		from = bpf_map_lookup_percpu_elem(&source, key, cpu);
		to = bpf_map_lookup_percpu_elem(&mirror, key, cpu);
		if (from && to)
			*(volatile __u64 *)to = *(volatile __u64 *)from;
	}
	return err;
}

static __always_inline long copy(__u32 key)
{
	__u64 *from = percpu ? bpf_map_lookup_percpu_elem(&source, &key, 0) :
			       bpf_map_lookup_elem(&source, &key), value;
	long err;

	__sync_fetch_and_add(&copies, 1);
	if (!from) {
		err = bpf_map_delete_elem(&mirror, &key);
		return err == -ENOENT ? 0 : err;
	}
	if (percpu)
		return copy_values(&key);
	value = *(volatile __u64 *)from;
	return bpf_map_update_elem(&mirror, &key, &value, BPF_ANY);
}

/*
 * Whoever has noted a change and finds the key busy can leave it: the note was there
 * before the other has looked for the last time. An interrupt may find a lock of the
 * mirror taken by what it has interrupted.
 */
static __always_inline void bring_in_line(__u32 key)
{
	key %= STRESS_KEYS;
	for (int i = 0; i < PASSES && *(volatile __u32 *)&dirty[key]; i++) {
		if (__sync_val_compare_and_swap(&busy[key], 0, 1))
			return;
		if (__sync_lock_test_and_set(&dirty[key], 0) && copy(key)) {
			__sync_fetch_and_add(&failed, 1);
			__sync_lock_test_and_set(&dirty[key], 1);
		}
		__sync_lock_test_and_set(&busy[key], 0);
	}
}

static __always_inline bool is_source(struct bpf_map *map, void *key, __u32 *k)
{
	return map->id == source_id && !bpf_probe_read_kernel(k, sizeof(*k), key);
}

/* Of the two, the fentry program runs first. */
#define ON(hook, what)								\
	SEC("fentry/bpf_map_trace_" #hook)					\
	int BPF_PROG(note_##hook, struct bpf_map *map, void *key)		\
	{									\
		__u32 k;							\
										\
		if (is_source(map, key, &k)) {					\
			__sync_fetch_and_add(&changes[what], 1);		\
			__sync_lock_test_and_set(&dirty[k % STRESS_KEYS], 1);	\
		}								\
		return 0;							\
	}									\
	SEC("fexit/bpf_map_trace_" #hook)					\
	int BPF_PROG(mirror_##hook, struct bpf_map *map, void *key)		\
	{									\
		__u32 k;							\
										\
		if (is_source(map, key, &k)) {					\
			__sync_lock_test_and_set(&dirty[k % STRESS_KEYS], 1);	\
			bring_in_line(k);					\
		}								\
		return 0;							\
	}

ON(updated, MIRROR_UPDATED)
ON(deleted, MIRROR_DELETED)
ON(evicted, MIRROR_EVICTED)

/* When nothing changes any more: what was noted, and the programs were skipped for. */
SEC("syscall")
int finish(void *ctx)
{
	for (__u32 key = 0; key < STRESS_KEYS; key++) {
		if (dirty[key])
			left++;
		bring_in_line(key);
	}
	return 0;
}
