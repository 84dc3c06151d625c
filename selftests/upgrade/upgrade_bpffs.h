/* SPDX-License-Identifier: GPL-2.0-only */
/* A bpffs of a test's own. */
#ifndef UPGRADE_BPFFS_H
#define UPGRADE_BPFFS_H

#include <stdlib.h>
#include <unistd.h>
#include <sys/mount.h>

/* `folder` ends in XXXXXX. Returns 0 or -1. */
static inline int mount_bpffs(char *folder)
{
	return mkdtemp(folder) ? mount("none", folder, "bpf", 0, NULL) : -1;
}

/* -1 if somebody still uses it. */
static inline int unmount_bpffs(const char *folder)
{
	return umount(folder) ?: rmdir(folder);
}

#endif /* UPGRADE_BPFFS_H */
