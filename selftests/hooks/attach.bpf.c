// SPDX-License-Identifier: GPL-2.0-only
/* Sleepable programs, which both hooks must refuse, and kprobes. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define SLEEPABLE(via, hook)						\
	SEC("?" #via ".s/bpf_map_trace_" #hook "_elem")			\
	int BPF_PROG(via##_##hook, struct bpf_map *map, void *key)	\
	{								\
		return 0;						\
	}

SLEEPABLE(fentry, update)
SLEEPABLE(fexit, update)
SLEEPABLE(fmod_ret, update)
SLEEPABLE(fentry, delete)
SLEEPABLE(fexit, delete)
SLEEPABLE(fmod_ret, delete)

__u32 kprobe_updates, kprobe_deletes;

SEC("?kprobe/bpf_map_trace_update_elem")
int kprobe_update(struct pt_regs *regs)
{
	__sync_fetch_and_add(&kprobe_updates, 1);
	return 0;
}

SEC("?kprobe/bpf_map_trace_delete_elem")
int kprobe_delete(struct pt_regs *regs)
{
	__sync_fetch_and_add(&kprobe_deletes, 1);
	return 0;
}
