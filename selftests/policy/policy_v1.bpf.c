// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policy, version 1: written as if it never had to be upgraded.
 *
 * A process whose number is in `members` may write only to files that it opened
 * since it came there, so the map holds which file it opened as which descriptor.
 *
 * It is kept small, for each program takes time to attach. Of the ways to write
 * it checks write() alone; pwrite64(), writev() and so on would take the same. A
 * process that exits has to close its files before: what it leaves open stays in
 * the map. Threads, and processes that share their descriptors, are not thought of.
 */
#include "policy_common.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POLICY_FILES);
	__type(key, struct key_v1);
	__type(value, struct value_v1);
} files_v1 SEC(".maps");

/*
 * After dup2() another file than the recorded one is behind the descriptor. The
 * result is not int: that of a system call has 64 bits.
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
 * The descriptor is not usable yet. fexit of openat() would come too late, and a
 * call that sleeps while programs come and go may run the fexit program of none.
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

/* For close() and close_range(): the number is not free for others yet. */
SEC("fentry/file_close_fd_locked")
int BPF_PROG(forget_close, struct files_struct *files, unsigned int fd)
{
	struct key_v1 key = POLICY_KEY_V1(current_pid(), fd);

	if (is_member(key.pid))
		bpf_map_delete_elem(&files_v1, &key);
	return 0;
}
