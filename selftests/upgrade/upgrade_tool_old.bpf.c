// SPDX-License-Identifier: GPL-2.0-only
/* A program that counts calls of getpgid() by argument: the old version. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct count {
	__u32 calls;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} settings SEC(".maps");

/* Instead of an update, once there is an element. */
const volatile bool through_pointer;

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(count_calls, struct pt_regs *regs)
{
	__u32 pid = regs->di, zero = 0;
	__u32 *step = bpf_map_lookup_elem(&settings, &zero);
	struct count *found = bpf_map_lookup_elem(&counts, &pid), count = {};

	if (found && through_pointer) {
		__sync_fetch_and_add(&found->calls, step ? *step : 0);
		return 0;
	}
	if (found)
		count = *found;
	count.calls += step ? *step : 0;
	bpf_map_update_elem(&counts, &pid, &count, BPF_ANY);
	return 0;
}
