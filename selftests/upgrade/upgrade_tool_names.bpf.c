// SPDX-License-Identifier: GPL-2.0-only
/* Names that begin as the library's do. */
#define KIND BPF_MAP_TYPE_HASH
#include "upgrade_tool.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} upgrade_total SEC(".maps");

__u64 seen SEC(".data.upgrade_seen") = 1;

SEC("fentry/__x64_sys_getpgid")
int upgrade_stats(void *ctx)
{
	__u32 zero = 0;
	__u64 *total = bpf_map_lookup_elem(&upgrade_total, &zero);

	if (total)
		__sync_fetch_and_add(total, seen);
	return 0;
}
