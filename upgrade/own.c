// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The map of owners, which exists from the start of an upgrade to its end. */
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

static const __u32 zero;

static int outer(const struct pair *p)
{
	return bpf_map__fd(pair_map(p, "owned"));
}

int own_begin(struct pair *p)
{
	__u32 size = p->u->opts.max_owned ?: bpf_map__max_entries(p->new_map);
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = BPF_F_NO_PREALLOC);
	int err, fd;

	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "upgrade_owners", bpf_map__key_size(p->new_map),
			    UPGRADE_MAX_CPUS / 8, size, &create);
	if (fd < 0)
		return report_pair_error(p, fd, "cannot create a map of %u owners", size);
	err = bpf_map_update_elem(outer(p), &zero, &fd, BPF_ANY);
	close(fd);
	return err ? report_pair_error(p, err, "cannot store the map of owners") : 0;
}

/* An event that found an earlier phase may still use it. */
int own_end(struct upgrade *u)
{
	int err = wait_for_programs(u);

	if (!err)
		for_each_pair(p, u)
			bpf_map_delete_elem(outer(p), &zero);
	return err;
}
