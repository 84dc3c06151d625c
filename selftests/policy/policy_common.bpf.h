/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs of all versions share. */
#ifndef POLICY_COMMON_BPF_H
#define POLICY_COMMON_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "policy.h"

#define EPERM 1
#define CLOSE_RANGE_CLOEXEC 4

char LICENSE[] SEC("license") = "GPL";

/* One map for all versions: libbpf reuses the pinned one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_MEMBERS);
	__type(key, __u32);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} members SEC(".maps");

static bool is_member(__u32 pid)
{
	return bpf_map_lookup_elem(&members, &pid);
}

static __u32 current_pid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/* The count of references to a file, from 0; and in older kernels, from 1. */
struct file___ref {
	struct {
		struct {
			long counter;
		} refcnt;
	} f_ref;
} __attribute__((preserve_access_index));

struct file___count {
	struct {
		long counter;
	} f_count;
} __attribute__((preserve_access_index));

/*
 * Every new descriptor goes through fd_install(). If something else holds a
 * reference to the file, it was not just opened but came by dup() or in a message.
 * The pipes and sockets that a process creates count as opened.
 */
static bool is_just_opened(struct file *file)
{
	struct file___count *old = (void *)file;
	struct file___ref *new = (void *)file;

	if (bpf_core_field_exists(new->f_ref))
		return !new->f_ref.refcnt.counter;
	return old->f_count.counter == 1;
}

/* The lower half of the open file's inode number; 0: the descriptor is closed. */
static __u32 ino_of(unsigned int fd)
{
	struct fdtable *table = bpf_get_current_task_btf()->files->fdt;
	struct file *file = NULL;

	if (fd >= table->max_fds)
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return BPF_CORE_READ(file, f_inode, i_ino);
}

/*
 * The number of descriptors from regs->di that close_range() is to close. The system
 * calls are traced, since a compiler may inline what they call.
 */
static __u32 in_range(const struct pt_regs *regs)
{
	__u32 first = regs->di, last = regs->si;
	__u32 max = bpf_get_current_task_btf()->files->fdt->max_fds;

	if (regs->dx & CLOSE_RANGE_CLOEXEC || first > last || first >= max)
		return 0;
	return (last < max ? last : max - 1) - first + 1;
}

#endif /* POLICY_COMMON_BPF_H */
