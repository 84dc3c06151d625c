/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For programs on the map trace hooks, which see the changes of all maps: the
 * key, and the value, as a pointer to a type of the program's own, or NULL where
 * those of that map have another size. The verifier does not check this.
 *
 * The value of a per-CPU map is one of several where map_flags say so; each has
 * the size of the type, rounded up to 8 bytes.
 */
#ifndef MAP_TRACE_BPF_H
#define MAP_TRACE_BPF_H

#define map_trace_key(map, key, type) \
	((map)->key_size == sizeof(type) ? (type *)(key) : (type *)0)

#define map_trace_value(map, value, type) \
	((map)->value_size == sizeof(type) ? (type *)(value) : (type *)0)

#endif /* MAP_TRACE_BPF_H */
