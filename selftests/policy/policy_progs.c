// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "policy_progs.h"

#define DETACH_MS 5000		/* more than a loaded machine takes */

_Atomic unsigned long *progs_skips;

__u32 prog_of_link(int link_fd)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	bpf_link_get_info_by_fd(link_fd, &info, &len);
	return info.prog_id;
}

int prog_wait_until_gone(__u32 id)
{
	for (int i = 0; i < DETACH_MS; i++) {
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd == -ENOENT)
			return 0;
		close(fd);
		usleep(1000);
	}
	return -ETIMEDOUT;
}

unsigned long prog_skipped(__u32 id)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	bpf_prog_get_info_by_fd(fd, &info, &len);
	close(fd);
	return info.recursion_misses;
}

unsigned long progs_skipped(void)
{
	unsigned long skipped = progs_skips ? *progs_skips : 0;
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id))
		skipped += prog_skipped(id);
	return skipped;
}
