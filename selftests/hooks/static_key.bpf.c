// SPDX-License-Identifier: GPL-2.0-only
/* One program for each way to attach to a hook, and kprobes that see the calls. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} map SEC(".maps");

__u32 updates, deletions;	/* calls of the hooks */
__u32 runs;			/* of the program attached to one of them */

SEC("?kprobe/bpf_map_trace_update_elem")
int on_update(struct pt_regs *regs)
{
	__sync_fetch_and_add(&updates, 1);
	return 0;
}

SEC("?kprobe/bpf_map_trace_delete_elem")
int on_delete(struct pt_regs *regs)
{
	__sync_fetch_and_add(&deletions, 1);
	return 0;
}

SEC("?kprobe/bpf_map_trace_updated")
int on_updated(struct pt_regs *regs)
{
	__sync_fetch_and_add(&updates, 1);
	return 0;
}

SEC("?kprobe/bpf_map_trace_deleted")
int on_deleted(struct pt_regs *regs)
{
	__sync_fetch_and_add(&deletions, 1);
	return 0;
}

SEC("?syscall")
int update_and_delete(void *ctx)
{
	__u32 zero = 0;

	return bpf_map_update_elem(&map, &zero, &zero, BPF_ANY) ?:
	       bpf_map_delete_elem(&map, &zero);
}

#define PROGRAM(name, section)						\
	SEC("?" section)						\
	int name(void *ctx)						\
	{								\
		__sync_fetch_and_add(&runs, 1);				\
		return 0;						\
	}

PROGRAM(fentry, "fentry/bpf_map_trace_update_elem")
PROGRAM(fexit, "fexit/bpf_map_trace_update_elem")
PROGRAM(fmod_ret, "fmod_ret/bpf_map_trace_update_elem")
PROGRAM(fsession, "fsession/bpf_map_trace_update_elem")
PROGRAM(fentry_multi, "fentry.multi/bpf_map_trace_update_elem")
PROGRAM(fexit_multi, "fexit.multi/bpf_map_trace_update_elem")
PROGRAM(fsession_multi, "fsession.multi/bpf_map_trace_update_elem")
PROGRAM(fentry_delete, "fentry/bpf_map_trace_delete_elem")
PROGRAM(fentry_updated, "fentry/bpf_map_trace_updated")
PROGRAM(fentry_deleted, "fentry/bpf_map_trace_deleted")

/* There is no such argument; the verifier has got the trampoline when it sees that. */
SEC("?fentry/bpf_map_trace_update_elem")
int rejected(__u64 *ctx)
{
	return ctx[9];
}

/* What an extension replaces: not a kernel function, and so no hook. */
__noinline int replaced(void)
{
	volatile int ret = 1;	/* not for the compiler to know */

	return ret;
}

SEC("?syscall")
int target(void *ctx)
{
	return replaced();
}

SEC("?freplace/replaced")
int extension(void)
{
	return 2;
}
