// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The map of owners, which exists from the start of an upgrade to its end. */
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

static const __u32 zero;

static int outer(const struct pair *p)
{
	return bpf_map__fd(pair_map(p, "owned"));
}

/*
 * To count the elements of a large map that is not preallocated, the kernel takes a lock,
 * which an NMI may have interrupted.
 */
static bool runs_in_nmis(struct upgrade *u)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) &&
		    bpf_program__type(prog) == BPF_PROG_TYPE_PERF_EVENT)
			return true;
	return u->opts.in_nmis;
}

static int create(struct pair *p, __u32 size)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		    .map_flags = p->u->preallocated ? 0 : BPF_F_NO_PREALLOC);

	return bpf_map_create(BPF_MAP_TYPE_HASH, "upgrade_owners",
			      bpf_map__key_size(p->new_map), UPGRADE_MAX_CPUS / 8, size, &opts);
}

/* The map of maps takes only such as the one that it is made with. */
static int prepare(struct pair *p)
{
	int err;

	p->owners_like = create(p, 1);
	err = p->owners_like;
	if (err >= 0)
		err = bpf_map__set_inner_map_fd(pair_map(p, "owned"), p->owners_like);
	return err < 0 ? refuse_pair(p, err, "cannot prepare the map of owners: %s",
				     strerror(-err)) : 0;
}

int own_prepare(struct upgrade *u)
{
	int err = 0;

	u->preallocated = runs_in_nmis(u);
	if (u->preallocated)
		for_each_pair(p, u)
			err = err ?: prepare(p);
	return err;
}

int own_begin(struct pair *p)
{
	__u32 size = p->u->opts.max_owned ?: bpf_map__max_entries(p->new_map);
	int err, fd = create(p, size);

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
