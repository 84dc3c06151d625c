// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* No more changes of the old map by system calls. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

#define TRIES 10000		/* to freeze it between two system calls */
#define PAUSE_US 100
#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

/* Has somebody else, or an upgrade that was killed, frozen it already? */
static bool is_frozen(int map)
{
	char path[64], line[128];
	int frozen = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "frozen: %d", &frozen) == 1)
			break;
	if (file)
		fclose(file);
	return frozen;
}

/*
 * The kernel freezes a map only while no system call is changing it, and no process
 * has it mapped. Programs can still change it.
 */
int freeze_old(struct pair *p)
{
	int map = bpf_map__fd(p->old_map), err = -EBUSY;

	if (p->u->opts.no_freeze || is_frozen(map))
		return 0;
	for (int i = 0; err == -EBUSY && i < TRIES; i++) {
		if (i)
			usleep(PAUSE_US);
		err = bpf_map_freeze(map);
	}
	if (err == -EBUSY)
		return report_pair_error(p, err, "the old map is mapped, or written all the time");
	if (err == -ENOTSUPP)
		return report_pair_error(p, err, "the old map has locks or the like: set opts.no_freeze");
	return err ? report_pair_error(p, err, "cannot freeze the old map: %s", strerror(-err)) : 0;
}
