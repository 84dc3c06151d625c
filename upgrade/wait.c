// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The two ways of waiting until what is running now has ended. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <linux/mount.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <bpf/bpf.h>
#include "parts.h"

/*
 * Updating a map of maps from user space waits for an RCU grace period, since
 * programs may be using the inner map. membarrier() does not wait at all on a
 * single CPU, and fails with nohz_full.
 */
int wait_open(struct upgrade *u)
{
	LIBBPF_OPTS(bpf_map_create_opts, of_maps);

	u->inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "upgrade_inner", 4, 4, 1, NULL);
	of_maps.inner_map_fd = u->inner_fd;
	u->outer_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "upgrade_grace", 4, 4, 1,
				     &of_maps);
	return u->outer_fd < 0 ? report_error(u, u->outer_fd, "cannot create a map of maps") : 0;
}

int wait_for_programs(struct upgrade *u)
{
	__u32 zero = 0;
	int err = bpf_map_update_elem(u->outer_fd, &zero, &u->inner_fd, BPF_ANY);

	return err ? report_error(u, err, "cannot wait for a grace period") : 0;
}

/* tracefs, wherever it is mounted, if at all. A descriptor or a negative errno. */
static int open_tracefs(void)
{
	int context = syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC), fd = -1;

	if (context < 0)
		return -errno;
	if (!syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fd = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
	fd = fd < 0 ? -errno : fd;
	close(context);
	return fd;
}

static int put(int folder, const char *file, const char *text)
{
	int fd = openat(folder, file, O_WRONLY | O_TRUNC | O_CLOEXEC), err = 0;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/*
 * The function tracer's ops are allocated with its instance of tracefs, so before
 * they can go, their user waits for RCU Tasks. What is traced does not matter, but
 * this function never runs. The instance stays, for the next upgrade: the kernel
 * warns if it is killed while it makes one. Its user may be killed, too, and leave
 * the tracer on.
 */
#define INSTANCE "instances/bpf_upgrade"

int wait_prepare(struct upgrade *u)
{
	int tracefs = open_tracefs(), err = 0;

	if (tracefs < 0)
		return tracefs;
	if (mkdirat(tracefs, INSTANCE, 0700) && errno != EEXIST)
		err = -errno;
	if (!err)
		u->instance_fd = openat(tracefs, INSTANCE, O_DIRECTORY | O_CLOEXEC);
	if (!err && u->instance_fd < 0)
		err = -errno;
	close(tracefs);
	return err ?: put(u->instance_fd, "buffer_size_kb", "4") ?:
	       put(u->instance_fd, "set_ftrace_filter", "kernel_restart");
}

#define LOCK_TRIES 3000		/* another upgrade waits for seconds, if the CPUs are busy */
#define LOCK_PAUSE_US 20000

/* Who has it may be stopped. */
static int lock(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		usleep(LOCK_PAUSE_US);
	}
	return -EWOULDBLOCK;
}

int wait_for_calls(struct upgrade *u)
{
	int err = lock(u->instance_fd);

	if (err == -EWOULDBLOCK)
		return report_error(u, err, "cannot wait for RCU Tasks: another upgrade has been waiting for a minute");
	err = err ?: put(u->instance_fd, "current_tracer", "nop") ?:
	      put(u->instance_fd, "current_tracer", "function") ?:
	      put(u->instance_fd, "current_tracer", "nop");
	flock(u->instance_fd, LOCK_UN);
	return err ? report_error(u, err, "cannot wait for RCU Tasks with tracefs") : 0;
}

void wait_close(struct upgrade *u)
{
	if (u->outer_fd >= 0)
		close(u->outer_fd);
	if (u->inner_fd >= 0)
		close(u->inner_fd);
	u->outer_fd = -1;
	u->inner_fd = -1;
}
