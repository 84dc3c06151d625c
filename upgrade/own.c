// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The map of owners, which exists from the start of an upgrade to its end. */
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

static const __u32 zero;

static int outer(const struct upgrade *u)
{
	return bpf_object__find_map_fd_by_name(u->obj, "upgrade_owned");
}

int own_begin(struct upgrade *u)
{
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = BPF_F_NO_PREALLOC);
	int err, fd;

	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "upgrade_owners", bpf_map__key_size(u->new_map),
			    UPGRADE_MAX_CPUS / 8, u->opts.max_owned, &create);
	if (fd < 0)
		return report_error(u, fd, "cannot create a map of %u owners", u->opts.max_owned);
	err = bpf_map_update_elem(outer(u), &zero, &fd, BPF_ANY);
	close(fd);
	return err ? report_error(u, err, "cannot store the map of owners") : 0;
}

/* An event that found an earlier phase may still use it. */
int own_end(struct upgrade *u)
{
	int err = wait_for_programs(u);

	if (!err)
		bpf_map_delete_elem(outer(u), &zero);
	return err;
}
