/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs of all versions have in common: the old map, and the event. */
#ifndef UPGRADE_EVENT_BPF_H
#define UPGRADE_EVENT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_load.h"

#define ENOENT 2

char LICENSE[] SEC("license") = "GPL";

/* The tests set type, flags and size before they load it. */
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

/* What the writer that called getpgid() asks for; NULL: it was somebody else. */
static __always_inline struct load_request *request_of(const struct pt_regs *regs)
{
	__u32 writer = regs->di - LOAD_MAGIC;

	return bpf_map_lookup_elem(&requests, &writer);
}

#endif /* UPGRADE_EVENT_BPF_H */
