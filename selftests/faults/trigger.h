/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRIGGER_H
#define TRIGGER_H

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define DEBUGFS "/sys/kernel/debug"

/* Have LKDTM break the kernel; -1 if it does not know how, 0 if it survived. */
static inline int trigger(const char *name)
{
	ssize_t length = strlen(name), written;
	int fd;

	mount("debugfs", DEBUGFS, "debugfs", 0, NULL);	/* or it is there already */
	fd = open(DEBUGFS "/provoke-crash/DIRECT", O_WRONLY);
	written = write(fd, name, length);
	close(fd);
	return written == length ? 0 : -1;
}

#endif
