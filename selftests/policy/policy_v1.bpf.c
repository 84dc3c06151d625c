// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy, version 1, written with no upgrade in mind.
 *
 * A process whose pid is in `members` may write only to files that it has opened
 * since it was added. So the map records which file it opened as which descriptor.
 *
 * The policy is kept small, because each program takes time to attach. It checks
 * write() only; pwrite64(), writev() and so on would be checked the same way. A
 * process must close its files before it exits: what it leaves open stays in the
 * map. Threads and processes that share descriptors are not supported.
 */
#include "policy_common.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_FILES);
	__type(key, struct key_v1);
	__type(value, struct value_v1);
} files_v1 SEC(".maps");

/*
 * Compare the inode as well: after dup2(), the descriptor refers to another file
 * than the recorded one. The result is long, like that of a system call.
 */
SEC("fmod_ret/__x64_sys_write")
long BPF_PROG(check_write, const struct pt_regs *regs)
{
	struct key_v1 key = POLICY_KEY_V1(current_pid(), regs->di);
	struct value_v1 *value;

	if (!is_member(key.pid))
		return 0;
	value = bpf_map_lookup_elem(&files_v1, &key);
	return value && value->ino == ino_of(key.fd) ? 0 : -EPERM;
}

/*
 * Here the descriptor is not usable yet. fexit on openat() would be too late, and
 * a call that sleeps while programs come and go may miss its fexit program.
 */
SEC("fentry/fd_install")
int BPF_PROG(record_open, unsigned int fd, struct file *file)
{
	struct key_v1 key = POLICY_KEY_V1(current_pid(), fd);
	struct value_v1 value = { .ino = file->f_inode->i_ino };

	if (is_member(key.pid) && is_just_opened(file))
		bpf_map_update_elem(&files_v1, &key, &value, BPF_ANY);
	return 0;
}

/* Here the number is not free for reuse yet. */
static long forget(__u64 i, __u32 *first)
{
	struct key_v1 key = POLICY_KEY_V1(current_pid(), *first + (__u32)i);

	bpf_map_delete_elem(&files_v1, &key);
	return 0;
}

SEC("fentry/__x64_sys_close")
int BPF_PROG(forget_close, const struct pt_regs *regs)
{
	__u32 fd = regs->di;

	if (is_member(current_pid()))
		forget(0, &fd);
	return 0;
}

SEC("fentry/__x64_sys_close_range")
int BPF_PROG(forget_close_range, const struct pt_regs *regs)
{
	__u32 first = regs->di;

	if (is_member(current_pid()))
		bpf_loop(in_range(regs), forget, &first, 0);
	return 0;
}
