// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what was changed, of all maps: the kernel does not know which runs that it
 * skipped would have been of interest.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

__u64 updates, deletions, evictions;

SEC("fentry/bpf_map_trace_updated")
int BPF_PROG(updated)
{
	__sync_fetch_and_add(&updates, 1);
	return 0;
}

SEC("fentry/bpf_map_trace_deleted")
int BPF_PROG(deleted)
{
	__sync_fetch_and_add(&deletions, 1);
	return 0;
}

SEC("fentry/bpf_map_trace_evicted")
int BPF_PROG(evicted)
{
	__sync_fetch_and_add(&evictions, 1);
	return 0;
}
