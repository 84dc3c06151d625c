// SPDX-License-Identifier: GPL-2.0-only
/* Pairs of an old and a new map that bpf-upgrade gen refuses, or that are special. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define MAP(name, k, v)				\
	struct {				\
		__uint(type, BPF_MAP_TYPE_HASH);	\
		__uint(max_entries, 1);		\
		__type(key, k);			\
		__type(value, v);		\
	} name SEC(".maps")

/* A value that has a field `f`, in both versions. */
#define PAIR(name, old, new)				\
	struct name##_old { __u32 same; old; };		\
	struct name##_new { __u32 same; new; };		\
	MAP(name##_was, __u32, struct name##_old);	\
	MAP(name##_is, __u32, struct name##_new)

#define KEY_PAIR(name, old, new)			\
	struct name##_old { __u32 same; old; };		\
	struct name##_new { __u32 same; new; };		\
	MAP(name##_was, struct name##_old, __u32);	\
	MAP(name##_is, struct name##_new, __u32)

enum old_order { FIRST, SECOND, THIRD };
enum new_order { FIRST_NEW };	/* the names of the old one are gone */

PAIR(narrower, __u64 f, __u32 f);
PAIR(negative, __s32 f, __u64 f);
PAIR(large, __u32 f, __s32 f);
PAIR(boolean, __u8 f, _Bool f);
PAIR(bits, __u32 f:4, __u32 f:5);
PAIR(unions, union { __u32 a; __u64 b; } f, union { __u32 a; __u16 b; } f);
PAIR(members, union { __u32 a; __u8 b; } f, union { __u32 a; __u8 b; __u8 c; } f);
PAIR(into_union, __u32 f, union { __u32 f; __u8 bytes[16]; });
PAIR(out_of_union, union { __u32 f; __u8 bytes[16]; }, __u32 f);
PAIR(no_name, union { struct { __u32 a; __u32 b; }; }, union { struct { __u32 a; }; });
PAIR(shorter, __u8 f[4], __u8 f[3]);
PAIR(names, enum old_order f, enum new_order f);
PAIR(kinds, __u32 f, struct { __u32 a; } f);
PAIR(pointer, struct sock *f, __u64 f);
PAIR(nested, struct { struct { __u32 a; } g[2]; } f[3], struct { struct { __u8 a; } g[2]; } f[3]);
KEY_PAIR(key_dropped, __u32 f, __u32 g);
KEY_PAIR(key_narrower, __u32 f, __u16 f);
MAP(array_was, __u32, __u16[2]);
MAP(array_is, __u32, __u32[3]);
MAP(address_was, struct sock *, __u32);
MAP(address_is, struct sock *, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 8);
} no_types SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} prefixes SEC(".maps");

char LICENSE[] SEC("license") = "GPL";
