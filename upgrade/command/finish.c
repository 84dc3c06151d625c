// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The end of an upgrade: the pins of the new version replace those of the old one. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

struct finish {
	const char *pins;
	struct upgrade_pair_config config;
	__u32 old_map;		/* its id */
};

/* One by one: if this is interrupted, it is done again with the rest. */
static int move(const char *path, const char *name, int fd, void *ctx)
{
	const struct finish *finish = ctx;

	/* What an upgrade needs besides what its version has. */
	if (task_made(name) || map_id(fd) == finish->old_map)
		return 0;
	return rename(path, PATH(finish->pins, name)) ? -errno : 0;
}

static int drop(const char *path, const char *name, int fd, void *ctx)
{
	const struct finish *finish = ctx;

	return map_id(fd) == finish->old_map && unlink(path) ? -errno : 0;
}

int finish(const char *pins)
{
	struct finish finish = { .pins = pins };
	struct path next = path_of(pins, "upgrade");
	int err = 0, fd;

	/* Without it, all has been moved before. */
	if (pin_read(PATH(next.text, "_rodata_upgrade"), &finish.config, sizeof(finish.config))) {
		fd = bpf_obj_get(PATH(next.text, finish.config.old_map));
		finish.old_map = fd < 0 ? 0 : map_id(fd);
		if (fd >= 0)
			close(fd);
		err = folder_each(next.text, move, &finish);
		if (!err && finish.old_map)
			err = folder_each(pins, drop, &finish);
	}
	err = err ?: folder_remove(next.text);
	return err ? fail("the upgrade is done, but not the pins in %s: %s; run bpf-upgrade resume",
			  pins, strerror(-err)) : 0;
}
