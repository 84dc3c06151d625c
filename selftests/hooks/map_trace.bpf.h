/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs on the map trace hooks see the changes of all maps. These macros return
 * the key or the value as a pointer to a type of the program's own, or NULL if keys
 * or values of that map have another size. What is read through the pointer is not
 * checked: bad addresses read as 0. They need no patch that types the arguments.
 *
 * For a per-CPU map, map_flags tell whether there is one value or one for each CPU;
 * each of them takes up the size of the type, rounded up to 8 bytes.
 */
#ifndef MAP_TRACE_BPF_H
#define MAP_TRACE_BPF_H

#include <bpf/bpf_helpers.h>

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

#define map_trace_key(map, key, type)					\
	((map)->key_size == sizeof(type) ?				\
	 (type *)bpf_rdonly_cast(key, 0) : (type *)0)

#define map_trace_value(map, value, type)				\
	((map)->value_size == sizeof(type) ?				\
	 (type *)bpf_rdonly_cast(value, 0) : (type *)0)

#endif /* MAP_TRACE_BPF_H */
