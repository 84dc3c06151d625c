// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Live upgrade, the user space side. See upgrade.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

static int run(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u64 began = now(), held, switched;
	int err;

	err = upgrade_begin(u);
	if (err)
		return err;
	r->phase = u->state->phase;
	if (r->phase >= UPGRADE_SWITCHED)
		return upgrade_end(u, report_error(u, -EALREADY, "it has switched already: upgrade_resume() finishes it"));
	u->ran = true;
	err = course_watch(u);
	if (err)
		return upgrade_end(u, err);
	/* Writers are held for as long as it takes to stop the others, and to switch. */
	held = now();
	if (u->opts.hold_writers)
		err = u->opts.hold_writers(u->opts.ctx);
	if (err)
		report_error(u, err, "cannot hold the writers");
	for_each_pair(p, u)
		err = err ?: freeze_old(p);
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
	if (u->instance_fd >= 0)
		close(u->instance_fd);
	upgrade_leave(u);
	for_each_pair(p, u)
		if (p->owners_like >= 0)
			close(p->owners_like);
	free(u->pairs);
	free(u);
}
