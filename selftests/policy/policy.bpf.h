/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy of policy_v1.bpf.c in version NEW, to be upgraded from version OLD.
 * It does what version 1 does, with another layout of the map. On each event, it
 * asks the library whether to handle it, and before it touches its map, it tells
 * the library the key.
 */
#ifndef POLICY_BPF_H
#define POLICY_BPF_H

#include "policy_common.bpf.h"

#define PASTE(a, b) a##b
#define OF(what, version) PASTE(what, version)

#define POLICY_MAP(version, entries)				\
struct {							\
	__uint(type, BPF_MAP_TYPE_HASH);			\
	__uint(max_entries, entries);				\
	__type(key, struct OF(key_v, version));			\
	__type(value, struct OF(value_v, version));		\
} OF(files_v, version) SEC(".maps")

POLICY_MAP(OLD, 1);	/* replaced by the running map */
POLICY_MAP(NEW, POLICY_FILES);

#define UPGRADE_OLD_MAP OF(files_v, OLD)
#define UPGRADE_NEW_MAP OF(files_v, NEW)
#define UPGRADE_OLD_KEY struct OF(key_v, OLD)
#define UPGRADE_NEW_KEY struct OF(key_v, NEW)
#define UPGRADE_OLD_VALUE struct OF(value_v, OLD)
#define UPGRADE_NEW_VALUE struct OF(value_v, NEW)
#define OLD_KEY OF(POLICY_KEY_V, OLD)
#define NEW_KEY OF(POLICY_KEY_V, NEW)

static __always_inline void upgrade_convert_key(const UPGRADE_OLD_KEY *old,
						UPGRADE_NEW_KEY *new)
{
	*new = NEW_KEY(OF(policy_pid_v, OLD)(old), OF(policy_fd_v, OLD)(old));
}

static __always_inline void upgrade_revert_key(const UPGRADE_NEW_KEY *new,
					       UPGRADE_OLD_KEY *old)
{
	*old = OLD_KEY(OF(policy_pid_v, NEW)(new), OF(policy_fd_v, NEW)(new));
}

/* Version 2 did not record when a file was opened. */
static __always_inline void upgrade_convert_value(const UPGRADE_OLD_VALUE *old,
						  UPGRADE_NEW_VALUE *new)
{
	new->ino = old->ino;
	new->version = OF(policy_recorder_v, OLD)(old);
}

#include "upgrade.bpf.h"

SEC("fmod_ret/__x64_sys_write")
long BPF_PROG(check_write, const struct pt_regs *regs)
{
	__u32 pid = current_pid(), fd = regs->di;
	UPGRADE_NEW_KEY key = NEW_KEY(pid, fd);
	UPGRADE_NEW_VALUE *value;

	if (!is_member(pid) || !upgrade_active())
		return 0;
	if (upgrade_before_read(&key))
		return -EPERM;
	value = bpf_map_lookup_elem(&UPGRADE_NEW_MAP, &key);
	return value && value->ino == ino_of(fd) ? 0 : -EPERM;
}

SEC("fentry/fd_install")
int BPF_PROG(record_open, unsigned int fd, struct file *file)
{
	__u32 pid = current_pid();
	UPGRADE_NEW_KEY key = NEW_KEY(pid, fd);
	UPGRADE_NEW_VALUE value = OF(POLICY_VALUE_V, NEW)(file->f_inode->i_ino);

	if (!is_member(pid) || !is_just_opened(file) || !upgrade_active())
		return 0;
	if (!upgrade_before_write(&key))
		bpf_map_update_elem(&UPGRADE_NEW_MAP, &key, &value, BPF_ANY);
	return 0;
}

static long forget(__u64 i, __u32 *first)
{
	UPGRADE_NEW_KEY key = NEW_KEY(current_pid(), *first + (__u32)i);

	if (!upgrade_before_delete(&key))
		bpf_map_delete_elem(&UPGRADE_NEW_MAP, &key);
	return 0;
}

SEC("fentry/__x64_sys_close")
int BPF_PROG(forget_close, const struct pt_regs *regs)
{
	__u32 fd = regs->di;

	if (is_member(current_pid()) && upgrade_active())
		forget(0, &fd);
	return 0;
}

SEC("fentry/__x64_sys_close_range")
int BPF_PROG(forget_close_range, const struct pt_regs *regs)
{
	__u32 first = regs->di;

	if (is_member(current_pid()) && upgrade_active())
		bpf_loop(in_range(regs), forget, &first, 0);
	return 0;
}

#endif /* POLICY_BPF_H */
