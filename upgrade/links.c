// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* How an upgrade begins and ends: what it shares with its programs, and their links. */
#include <errno.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include "parts.h"

/* The part of the setup that needs the object to be loaded. */
int upgrade_begin(struct upgrade *u)
{
	union bpf_iter_link_info info = { .map.map_fd = bpf_map__fd(u->old_map) };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
		    .link_info_len = sizeof(info));
	struct bpf_map *map;
	int err;

	map = bpf_object__find_map_by_name(u->obj, ".data.upgrade");
	u->state = mmap(NULL, sizeof(*u->state), PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(map), 0);
	map = bpf_object__find_map_by_name(u->obj, "upgrade_keys");
	u->batch = mmap(NULL, UPGRADE_BATCH * u->stride, PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(map), 0);
	if (u->state == MAP_FAILED || u->batch == MAP_FAILED)
		return report_error(u, -errno, "cannot map the programs' data: is the object loaded?");

	err = wait_open(u) ?: mover_open_ring(u);
	if (err)
		return err;

	u->link[COPY] = bpf_program__attach_iter(u->prog[COPY], &opts);
	if (!u->link[COPY])
		return report_error(u, -errno, "cannot attach %s", upgrade_programs[COPY]);
	return 0;
}

int upgrade_attach(struct upgrade *u, int first, int last)
{
	for (int i = first; i <= last; i++) {
		if (!bpf_program__autoload(u->prog[i]))
			continue;
		u->link[i] = bpf_program__attach(u->prog[i]);
		if (!u->link[i])
			return report_error(u, -errno, "cannot attach %s", upgrade_programs[i]);
	}
	return 0;
}

void upgrade_detach(struct upgrade *u, int first, int last)
{
	for (int i = first; i <= last; i++) {
		bpf_link__destroy(u->link[i]);
		u->link[i] = NULL;
	}
}

/* Complete the report, whatever came before, and return the overall result. */
int upgrade_end(struct upgrade *u, int err)
{
	report_fill_in(u);
	/* They make every change of every map a little slower. */
	upgrade_detach(u, MARK_UPDATE, PASSED_DELETE);
	return err ?: report_judge(u);
}

void release_writers(struct upgrade *u)
{
	if (u->opts.release_writers)
		u->opts.release_writers(u->opts.ctx, u->report->phase);
}
