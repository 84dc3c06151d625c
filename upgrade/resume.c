// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Finish the upgrade of a process that died. */
#include <errno.h>
#include "parts.h"

/* The phase is DONE for all of them at once, so none may be left out. */
static bool is_complete(const struct upgrade *u)
{
	for_each_pair(p, u)
		if (!p->state->takes_part)
			return false;
	return u->state->pairs == u->count;
}

static int resume(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u64 began = now();
	bool gone;
	int err;

	err = upgrade_begin(u);
	if (err)
		return err;
	r->phase = u->state->phase;
	if (r->phase == UPGRADE_DONE) {
		release_writers(u);
		return upgrade_end(u, 0);
	}
	if (r->phase < UPGRADE_SWITCHED)
		return upgrade_end(u, report_error(u, -EINVAL, "not switched, so nothing to resume"));
	if (!is_complete(u))
		return upgrade_end(u, report_error(u, -EINVAL, "these are not all old maps of the upgrade, or others"));
	report_phase(u, UPGRADE_SWITCHED);
	u->state->replacing = 0;
	/* The gate is gone, and may have been needed. */
	gone = !upgrade_find_gate(u) && u->state->gate;
	if (gone && !u->state->handled_twice)
		u->state->handled_twice = 1;
	report_missed(u);
	err = upgrade_attach(u, MARK_UPDATE, MARK_BATCH) ?: course_end_old(u) ?: mover_drain(u) ?:
	      course_finish(u);
	if (gone && !err)
		err = report_error(u, -EUCLEAN, "whoever upgraded did not pin the gate, or not here: until the old version was detached, both may have handled events");
	if (r->phase == UPGRADE_DONE)
		release_writers(u);
	r->window_ns = now() - began;
	return upgrade_end(u, err);
}

int upgrade_resume(struct upgrade *u, struct upgrade_report *r)
{
	return report_to(u, r, resume);
}
