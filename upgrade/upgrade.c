// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Live upgrade, the user space side. See upgrade.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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

static int run(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u64 began = now(), held, switched;
	int err;

	err = upgrade_begin(u);
	if (err)
		return err;
	err = course_watch(u);
	if (err)
		return upgrade_end(u, err);
	/* Writers are held for as long as it takes to stop the others, and to switch. */
	held = now();
	if (u->opts.hold_writers)
		err = u->opts.hold_writers(u->opts.ctx);
	if (err)
		report_error(u, err, "cannot hold the writers");
	err = err ?: freeze_old(u);
	switched = now();
	err = err ?: course_switch(u);
	release_writers(u);
	r->watch_ns = switched - began;
	r->hold_ns = now() - held;
	if (err)
		return upgrade_end(u, err);
	err = course_settle(u);
	if (r->phase == UPGRADE_DONE)
		release_writers(u);
	r->window_ns = now() - switched;
	return upgrade_end(u, err);
}

int upgrade_run(struct upgrade *u, struct upgrade_report *r)
{
	return report_to(u, r, run);
}

int upgrade_claim(int prog_fd, const void *key, __u32 size)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = key, .ctx_size_in = size);

	return bpf_prog_test_run_opts(prog_fd, &opts) ?: (int)opts.retval;
}

void upgrade_close(struct upgrade *u)
{
	if (!u)
		return;
	for (int i = 0; i < PROGRAMS; i++)
		bpf_link__destroy(u->link[i]);
	ring_buffer__free(u->marks);
	if (u->state && u->state != MAP_FAILED)
		munmap(u->state, sizeof(*u->state));
	if (u->batch && u->batch != MAP_FAILED)
		munmap(u->batch, UPGRADE_BATCH * u->stride);
	wait_close(u);
	keyset_free(&u->dirty);
	free(u);
}
