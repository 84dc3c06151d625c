// SPDX-License-Identifier: GPL-2.0-only
/* Programs that read bad memory, and programs that the verifier must reject. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "typed.h"
#include "typed_limits.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u64);
} narrow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct element);
	__type(value, struct element);
} elements SEC(".maps");

struct far_read far_reads[MAX_READS];
volatile __u64 key_address;

/* Read at the addresses in `far_reads`, through pointers derived from the key. */
SEC("?fentry/bpf_map_trace_delete_elem")
int BPF_PROG(read_far, struct bpf_map *map, char *key)
{
	if (map != (struct bpf_map *)&narrow)
		return 0;
	key_address = (__u64)key;
	for (int i = 0; i < MAX_READS; i++) {
		struct far_read *r = &far_reads[i];
		char *at = key + (r->address - key_address);

		r->loaded = *(volatile __u64 *)at;
		r->probed = ~0ull;
		r->error = bpf_probe_read_kernel(&r->probed, sizeof(r->probed), at);
		r->loaded_again = *(volatile __u64 *)at;
	}
	return 0;
}

/* The same, but `address` is an offset from the key. */
SEC("?fentry/bpf_map_trace_delete_elem")
int BPF_PROG(read_beyond, struct bpf_map *map, char *key)
{
	if (map != (struct bpf_map *)&narrow)
		return 0;
	for (int i = 0; i < MAX_READS; i++) {
		struct far_read *r = &far_reads[i];
		char *at = key + r->address;

		r->loaded = *(volatile __u64 *)at;
		r->error = bpf_probe_read_kernel(&r->probed, sizeof(r->probed), at);
		r->loaded_again = *(volatile __u64 *)at;
	}
	return 0;
}

/* The verifier must reject all programs that follow. */
SEC("?fentry/bpf_map_trace_update_elem")
int BPF_PROG(store_to_key, struct bpf_map *map, struct element *key)
{
	key->u32 = 1;
	return 0;
}

SEC("?fexit/bpf_map_trace_update_elem")
int BPF_PROG(store_to_value, struct bpf_map *map, void *key, struct element *value)
{
	value->u8 = 1;
	return 0;
}

SEC("?fmod_ret/bpf_map_trace_delete_elem")
int BPF_PROG(add_to_key, struct bpf_map *map, struct element *key)
{
	__sync_fetch_and_add(&key->u64, 1);
	return 0;
}

SEC("?fentry/bpf_map_trace_delete_elem")
int BPF_PROG(look_up_by_key, struct bpf_map *map, struct element *key)
{
	return bpf_map_lookup_elem(&elements, key) != NULL;
}

SEC("?fentry/bpf_map_trace_update_elem")
int BPF_PROG(store_value, struct bpf_map *map, void *key, __u64 *value)
{
	__u64 own_key = 1;

	return bpf_map_update_elem(&narrow, &own_key, value, BPF_ANY);
}

/* The void pointers of other functions stay scalars. */
SEC("?fentry/kfree")
int BPF_PROG(kfree_typed, struct element *object)
{
	return object->u32;
}

SEC("?fexit/htab_map_delete_elem")
int BPF_PROG(map_function_typed, struct bpf_map *map, struct element *key)
{
	return key->u32;
}
