// SPDX-License-Identifier: GPL-2.0-only
/* The operations that are measured inside the kernel, and the programs attached. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "bench.h"

char LICENSE[] SEC("license") = "GPL";

/* bench_attach.c sets type, flags and size of both before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps"), copy SEC(".maps");

__u32 first_key;	/* of a round of updates */
__u32 target_id;	/* count the changes of this map */
__u32 seen[KEYS];	/* changes of each of its keys */
__u32 failed;		/* operations and comparisons that failed */
__u32 compared;		/* elements found equal */

/* A round: one operation for each key. */

static long no_op(__u32 i, void *ctx)
{
	__u32 key = first_key + i;
	__u64 value = i;

	/* Have them stored all the same, as in the other loops. */
	asm volatile("" : : "r"(&key), "r"(&value) : "memory");
	return 0;
}

static long update_one(__u32 i, void *ctx)
{
	__u32 key = first_key + i;
	__u64 value = i;

	if (bpf_map_update_elem(&target, &key, &value, BPF_ANY))
		failed++;
	return 0;
}

static long delete_one(__u32 i, void *ctx)
{
	__u32 key = i;

	if (bpf_map_delete_elem(&target, &key))
		failed++;
	return 0;
}

SEC("syscall")
int loop_empty(void *ctx)
{
	return bpf_loop(KEYS, no_op, NULL, 0) != KEYS;
}

SEC("syscall")
int loop_update(void *ctx)
{
	return bpf_loop(KEYS, update_one, NULL, 0) != KEYS;
}

SEC("syscall")
int loop_delete(void *ctx)
{
	return bpf_loop(KEYS, delete_one, NULL, 0) != KEYS;
}

/* The attached programs read the key of a change to the map and count it. */

static __always_inline void count(__u32 id, void *key)
{
	__u32 k;

	if (id == target_id && !bpf_probe_read_kernel(&k, sizeof(k), key))
		seen[k & (KEYS - 1)]++;
}

SEC("?fentry")
int BPF_PROG(on_fentry, struct bpf_map *map, void *key)
{
	count(map->id, key);
	return 0;
}

/* The multi forms get their arguments from a helper, as numbers. */
SEC("?fentry.multi/")
int on_fentry_multi(__u64 *ctx)
{
	__u64 map, key;

	if (!bpf_get_func_arg(ctx, 0, &map) && !bpf_get_func_arg(ctx, 1, &key))
		count(bpf_core_cast((void *)map, struct bpf_map)->id, (void *)key);
	return 0;
}

SEC("?fmod_ret")
int BPF_PROG(on_fmod_ret, struct bpf_map *map, void *key)
{
	count(map->id, key);
	return 0;
}

SEC("?kprobe")
int BPF_KPROBE(on_kprobe, struct bpf_map *map, void *key)
{
	count(BPF_CORE_READ(map, id), key);
	return 0;
}

/* Without hooks, find what changed: compare the whole map with a copy. */
SEC("iter/bpf_map_elem")
int compare(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *value = ctx->value, *other;
	__u32 *key = ctx->key, k;

	if (!key || !value)
		return 0;
	k = *key;
	other = bpf_map_lookup_elem(&copy, &k);
	if (other && *other == *value)
		compared++;
	else
		failed++;
	return 0;
}
