// SPDX-License-Identifier: GPL-2.0-only
/* Programs that read the key and value through pointers to their own types. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "map_trace.bpf.h"
#include "typed.h"

char LICENSE[] SEC("license") = "GPL";

#define hash_map(name, key_type, value_type)				\
	struct {							\
		__uint(type, BPF_MAP_TYPE_HASH);			\
		__uint(max_entries, 16);				\
		__type(key, key_type);					\
		__type(value, value_type);				\
	} name SEC(".maps")

hash_map(target, struct element, struct element);
hash_map(narrow, __u64, __u64);
hash_map(headers, struct iphdr, __u64);

struct seen update_seen, delete_seen;

/* volatile: load each field with its own width. */
static __always_inline void read_fields(const volatile struct element *from,
					struct element *to)
{
	to->u8 = from->u8;
	to->s8 = from->s8;
	to->u16 = from->u16;
	to->s16 = from->s16;
	to->u32 = from->u32;
	to->s32 = from->s32;
	to->u64 = from->u64;
	to->s64 = from->s64;
	to->nested.x = from->nested.x;
	to->nested.inner.y = from->nested.inner.y;
	for (int i = 0; i < 3; i++)
		to->nested.inner.z[i] = from->nested.inner.z[i];
	for (int i = 0; i < 3; i++)
		to->words[i] = from->words[i];
	to->low = from->low;
	to->middle = from->middle;
	to->high = from->high;
}

static __always_inline void see(struct seen *seen, struct element *key)
{
	if (!key) {
		seen->other_size++;
		return;
	}
	seen->runs++;
	read_fields(key, &seen->key);
	seen->wide[0] = key->s8;
	seen->wide[1] = key->s16;
	seen->wide[2] = key->s32;
	seen->wide[3] = key->middle;
}

/* Without the cast of map_trace.bpf.h: the arguments themselves can be read. */
#define typed_key(map, key, type) \
	((map)->key_size == sizeof(type) ? (type *)(key) : (type *)0)

#define typed_value(map, value, type) \
	((map)->value_size == sizeof(type) ? (type *)(value) : (type *)0)

#define SEE(via, name, read)						\
SEC("?" #via "/bpf_map_trace_update_elem")				\
int BPF_PROG(name##_update, struct bpf_map *map, void *any_key,	\
	     void *any_value, u64 map_flags)				\
{									\
	struct element *key = read##_key(map, any_key, struct element);	\
	struct element *value = read##_value(map, any_value, struct element); \
									\
	see(&update_seen, key);						\
	if (value)							\
		read_fields(value, &update_seen.value);			\
	return 0;							\
}									\
									\
SEC("?" #via "/bpf_map_trace_delete_elem")				\
int BPF_PROG(name##_delete, struct bpf_map *map, void *any_key)		\
{									\
	see(&delete_seen, read##_key(map, any_key, struct element));	\
	return 0;							\
}

SEE(fentry, fentry, typed)
SEE(fexit, fexit, typed)
SEE(fmod_ret, fmod_ret, typed)
SEE(fentry, fentry_cast, map_trace)
SEE(fexit, fexit_cast, map_trace)
SEE(fmod_ret, fmod_ret_cast, map_trace)

/* The signature that the review in 2021 asked for. */
struct allow_reads_key__old {
	__u32 pid;
	int fd;
};

__u32 old_pid;
int old_fd;

SEC("?fentry/bpf_map_trace_update_elem")
int BPF_PROG(copy_on_write__update, struct bpf_map *map,
	     struct allow_reads_key__old *key, void *value, u64 map_flags)
{
	if (map != (struct bpf_map *)&narrow)
		return 0;
	old_pid = key->pid;
	old_fd = key->fd;
	return 0;
}

/* The bit fields are in another order than in the kernel's struct. */
struct iphdr___other_order {
	__u8 version : 4;
	__u8 ihl : 4;
} __attribute__((preserve_access_index));

__u32 version, ihl;

SEC("?fentry/bpf_map_trace_update_elem")
int BPF_PROG(core_bit_fields, struct bpf_map *map,
	     struct iphdr___other_order *key, void *value, u64 map_flags)
{
	if (map != (struct bpf_map *)&headers)
		return 0;
	version = BPF_CORE_READ_BITFIELD(key, version);
	ihl = BPF_CORE_READ_BITFIELD(key, ihl);
	return 0;
}
