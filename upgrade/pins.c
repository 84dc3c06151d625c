// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Will the new version outlive this process? */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

/* The link that is pinned there; its id is 0 if it is not a link. */
static struct bpf_link_info pinned_link(const char *folder, const char *name)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	char path[512], kind[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return info;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, kind, sizeof(kind) - 1) < 0 || strcmp(kind, "anon_inode:bpf-link") ||
	    bpf_link_get_info_by_fd(fd, &info, &len))
		info.id = 0;
	close(fd);
	return info;
}

static bool is_pinned(DIR *folder, const char *path, __u32 link)
{
	struct dirent *entry;
	bool found = false;

	rewinddir(folder);
	while (!found && (entry = readdir(folder)))
		found = pinned_link(path, entry->d_name).id == link;
	return found;
}

/* The name of the new version's program that this link attaches, or NULL. */
static const char *program_of(struct upgrade *u, __u32 link)
{
	struct bpf_link_info info = {};
	struct bpf_prog_info prog_info;
	struct bpf_program *prog;
	const char *name = NULL;
	__u32 len = sizeof(info);
	int fd = bpf_link_get_fd_by_id(link);

	if (fd < 0)
		return NULL;
	if (!bpf_link_get_info_by_fd(fd, &info, &len))
		bpf_object__for_each_program(prog, u->obj) {
			len = sizeof(prog_info);
			memset(&prog_info, 0, sizeof(prog_info));
			if (bpf_program__fd(prog) >= 0 && !is_ours(u, prog) &&
			    !bpf_prog_get_info_by_fd(bpf_program__fd(prog), &prog_info, &len) &&
			    prog_info.id == info.prog_id)
				name = bpf_program__name(prog);
		}
	close(fd);
	return name;
}

int pins_check(struct upgrade *u)
{
	const char *name;
	__u32 link = 0;
	DIR *folder;
	int err = 0;

	if (!u->opts.pins)
		return 0;
	folder = opendir(u->opts.pins);
	if (!folder)
		return report_error(u, -errno, "cannot read %s", u->opts.pins);
	while (!err && !bpf_link_get_next_id(link, &link)) {
		name = program_of(u, link);
		if (name && !is_pinned(folder, u->opts.pins, link))
			err = report_error(u, -ENOENT, "%s is attached but not pinned in %s",
					   name, u->opts.pins);
	}
	closedir(folder);
	return err;
}

/* Is this the name, which the kernel cuts off, of a program of the new version? */
static bool is_of_new(struct upgrade *u, const char *name)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, u->obj)
		if (!is_ours(u, prog) &&
		    !strncmp(bpf_program__name(prog), name, BPF_OBJ_NAME_LEN - 1))
			return true;
	return false;
}

static __u64 misses(struct upgrade *u, __u32 prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog);

	if (fd < 0)
		return 0;
	if (bpf_prog_get_info_by_fd(fd, &info, &len) || !is_of_new(u, info.name))
		info.recursion_misses = 0;
	close(fd);
	return info.recursion_misses;
}

__s64 pins_misses(struct upgrade *u)
{
	DIR *folder = opendir(u->opts.pins);
	struct bpf_link_info info;
	struct dirent *entry;
	__s64 sum = 0;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder))) {
		info = pinned_link(u->opts.pins, entry->d_name);
		if (info.id)
			sum += misses(u, info.prog_id);
	}
	closedir(folder);
	return sum;
}
