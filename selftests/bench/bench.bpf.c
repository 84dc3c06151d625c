// SPDX-License-Identifier: GPL-2.0-only
/* What the bench measures from inside the kernel, and what it attaches. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "bench.h"

char LICENSE[] SEC("license") = "GPL";

/* bench.c sets type, flags and size of both before it loads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps"), copy SEC(".maps");

__u32 target_id;	/* the map whose changes are counted */
__u32 seen[KEYS];	/* how often each key of it was */
__u32 failed;		/* operations and comparisons that went wrong */
__u32 compared;		/* elements that were found equal */

/* The round: one operation for each key. */

static long no_op(__u32 i, void *ctx)
{
	__u32 key = i;
	__u64 value = i;

	/* Stored all the same, as in the others. */
	asm volatile("" : : "r"(&key), "r"(&value) : "memory");
	return 0;
}

static long update_one(__u32 i, void *ctx)
{
	__u32 key = i;
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

/* What is attached: read the key of a change of the map and count it. */

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

/* Without hooks: look through the whole map for what differs from a copy. */
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
