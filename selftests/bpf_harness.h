/* SPDX-License-Identifier: GPL-2.0-only */
/* kselftest_harness.h, and what the tests of BPF maps need on top of it. */
#ifndef BPF_HARNESS_H
#define BPF_HARNESS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "kselftest_harness.h"
#include "cpu.h"
#include "newer.h"

#define SECONDS 240	/* timeout of long tests: emulation on a loaded host is slow */

/* A map type with its flags, and what follows from them. */
struct map_kind {
	__u32 type;
	__u32 flags;
	bool percpu;
	bool array;		/* every element exists, none can be deleted */
	bool lru;
	bool uncounted;		/* bpf_map_sum_elem_count() is always 0 */
};

/*
 * Can NMIs change this map? Of hash maps, only small ones without preallocation: 7.3
 * itself corrupts a preallocated one if the CPU is replacing another element just then
 * (the spare element of the CPU, which the NMI takes, is the one that is being replaced,
 * and still in its bucket), and takes a spin lock to count the elements of a large one.
 */
static inline bool nmi_can_update(__u32 type, __u32 flags, __u32 max_entries)
{
	__u32 small = 64 * libbpf_num_possible_cpus();	/* 2 * PERCPU_COUNTER_BATCH */

	return type != BPF_MAP_TYPE_HASH ||
	       ((flags & BPF_F_NO_PREALLOC) && max_entries <= small);
}

/* Add all eight kinds as variants of a fixture whose variant has a map_kind. */
#define MAP_KIND_VARIANTS(fixture)					\
	FIXTURE_VARIANT_ADD(fixture, array)				\
	{ .kind = { BPF_MAP_TYPE_ARRAY, .array = true } };		\
	FIXTURE_VARIANT_ADD(fixture, percpu_array)			\
	{ .kind = { BPF_MAP_TYPE_PERCPU_ARRAY,				\
		    .percpu = true, .array = true } };			\
	HASH_KIND_VARIANTS(fixture)

#define HASH_KIND_VARIANTS(fixture)					\
	FIXTURE_VARIANT_ADD(fixture, hash)				\
	{ .kind = { BPF_MAP_TYPE_HASH } };				\
	FIXTURE_VARIANT_ADD(fixture, hash_no_prealloc)			\
	{ .kind = { BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC } };		\
	FIXTURE_VARIANT_ADD(fixture, percpu_hash)			\
	{ .kind = { BPF_MAP_TYPE_PERCPU_HASH, .percpu = true } };	\
	FIXTURE_VARIANT_ADD(fixture, lru_hash)				\
	{ .kind = { BPF_MAP_TYPE_LRU_HASH, .lru = true } };		\
	FIXTURE_VARIANT_ADD(fixture, lru_hash_no_common_lru)		\
	{ .kind = { BPF_MAP_TYPE_LRU_HASH, BPF_F_NO_COMMON_LRU,		\
		    .lru = true } };					\
	FIXTURE_VARIANT_ADD(fixture, lru_percpu_hash)			\
	{ .kind = { BPF_MAP_TYPE_LRU_PERCPU_HASH,			\
		    .percpu = true, .lru = true } }

/* The same and the resizable hash, which the library for upgrades does not know. */
#define TRACED_KIND_VARIANTS(fixture)					\
	MAP_KIND_VARIANTS(fixture);					\
	FIXTURE_VARIANT_ADD(fixture, rhash)				\
	{ .kind = { BPF_MAP_TYPE_RHASH, BPF_F_NO_PREALLOC,		\
		    .uncounted = true } }

/* For libbpf_set_print(): warnings go where the test's own messages go. */
static inline int print_warnings(enum libbpf_print_level level, const char *format,
				 va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vprintf(format, args);
	/* A test that ends with a failed assertion flushes nothing. */
	return fflush(stdout);
}

/* The ID of a map, by which programs on the hooks recognize it; 0 on failure. */
static inline __u32 id_of(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	bpf_map_get_info_by_fd(fd, &info, &len);
	return info.id;
}

/* How often the kernel has skipped a program, which was running on that CPU already. */
static inline __u64 misses(struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len);
	return info.recursion_misses;
}

/* Have one program loaded; those declared with SEC("?...") are not by default. */
static inline struct bpf_program *choose_program(struct __test_metadata *_metadata,
						 const struct bpf_object *obj,
						 const char *name)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, name);

	ASSERT_NE(NULL, prog) TH_LOG("no program %s", name);
	bpf_program__set_autoload(prog, true);
	return prog;
}

#endif /* BPF_HARNESS_H */
