// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attached to the library's marker: each of its runs changes another map, a change
 * that the marker, which is running, does not see: a recursion miss.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} other_map SEC(".maps");

SEC("fentry/upgrade_mark_update")
int nest(void *ctx)
{
	__u32 zero = 0;

	bpf_map_update_elem(&other_map, &zero, &zero, BPF_ANY);
	return 0;
}
