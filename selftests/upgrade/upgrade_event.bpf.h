/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs of both versions share: the old map and the event. */
#ifndef UPGRADE_EVENT_BPF_H
#define UPGRADE_EVENT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "newer.h"
#include "upgrade_request.h"

#define ENOENT 2

char LICENSE[] SEC("license") = "GPL";

/* The tests set type, flags and size before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct old_value);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_WRITERS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct load_request);
} requests SEC(".maps");

/*
 * The event of a version: if `active`, run the operations that a writer requests,
 * each with <version>_op(). Other callers of getpgid() have no request.
 */
#define EVENT(version, results, active)						\
static long version##_op_at(__u32 i, struct load_request **request)		\
{										\
	struct load_request *r = *request;					\
										\
	if (i >= LOAD_OPS)							\
		return 1;							\
	r->result[results][i] = version##_op(&r->op[i]);			\
	return 0;								\
}										\
										\
SEC("fentry/__x64_sys_getpgid")							\
int BPF_PROG(version##_event, const struct pt_regs *regs)			\
{										\
	__u32 writer = regs->di - LOAD_MAGIC;					\
	struct load_request *r = bpf_map_lookup_elem(&requests, &writer);	\
										\
	if (r && (active))							\
		bpf_loop(r->count, version##_op_at, &r, 0);			\
	return 0;								\
}

#endif /* UPGRADE_EVENT_BPF_H */
