/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layouts of the policy's map in its three versions, for its programs and for
 * the test. For each file that a process under the policy has open, the map holds
 * the lower half of its inode number, under the process and its descriptor.
 */
#ifndef POLICY_H
#define POLICY_H

#define POLICY_FILES 4096	/* max_entries of the map, in all versions */
#define POLICY_MEMBERS 64	/* processes under the policy */

struct key_v1 {
	__u32 pid;
	__u32 fd;
};

struct value_v1 {
	__u32 ino;
};

struct key_v2 {
	__u32 fd;
	__u32 pid;
};

struct value_v2 {
	__u32 ino;
	__u32 version;	/* of the policy at the time the file was opened */
};

/* Descriptors are below 2^31. */
struct key_v3 {
	__u64 pid_fd;	/* pid << 31 | fd */
};

struct value_v3 {
	__u64 opened;	/* ns since boot; 0: unknown */
	__u32 ino;
	__u32 version;
};

#define POLICY_KEY_V1(key_pid, key_fd) \
	((struct key_v1){ .pid = (key_pid), .fd = (key_fd) })
#define POLICY_KEY_V2(key_pid, key_fd) \
	((struct key_v2){ .fd = (key_fd), .pid = (key_pid) })
#define POLICY_KEY_V3(key_pid, key_fd) \
	((struct key_v3){ .pid_fd = (__u64)(key_pid) << 31 | (key_fd) })

/* The value that a version's program records. */
#define POLICY_VALUE_V2(inode) \
	((struct value_v2){ .ino = (inode), .version = 2 })
#define POLICY_VALUE_V3(inode) \
	((struct value_v3){ .opened = bpf_ktime_get_ns(), .ino = (inode), .version = 3 })

#define policy_pid_v1(key) ((key)->pid)
#define policy_pid_v2(key) ((key)->pid)
#define policy_pid_v3(key) ((__u32)((key)->pid_fd >> 31))
#define policy_fd_v1(key) ((key)->fd)
#define policy_fd_v2(key) ((key)->fd)
#define policy_fd_v3(key) ((__u32)((key)->pid_fd & 0x7fffffff))
#define policy_recorder_v1(value) 1
#define policy_recorder_v2(value) ((value)->version)
#define policy_recorder_v3(value) ((value)->version)

#endif /* POLICY_H */
