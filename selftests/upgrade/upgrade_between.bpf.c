// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attached between the two versions of upgrade_once.bpf.c: holds up an event there.
 * Since it is sleepable, RCU does not wait for it, as if the task had been preempted
 * between two programs. RCU Tasks does, because it never sleeps.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_once.h"

char LICENSE[] SEC("license") = "GPL";

#define LOOPS 64		/* of 2^20 rounds, unless the test releases the event */

__u32 delay;		/* the key of the event */
__u32 delayed;		/* events that are there or were */
__u32 released;

static long nothing(__u32 i, void *ctx)
{
	return !!*(volatile __u32 *)&released;
}

SEC("fentry.s/__x64_sys_getpgid")
int BPF_PROG(between, const struct pt_regs *regs)
{
	if (regs->di - ONCE_MAGIC != delay)
		return 0;
	delayed++;
	for (int i = 0; i < LOOPS; i++)
		bpf_loop(1 << 20, nothing, NULL, 0);
	return 0;
}
