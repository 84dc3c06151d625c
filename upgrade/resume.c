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
	u->state->gate = 0;
	u->state->replacing = 0;
	err = upgrade_attach(u, MARK_UPDATE, MARK_BATCH) ?: mover_drain(u) ?: course_finish(u);
	if (r->phase == UPGRADE_DONE)
		release_writers(u);
	r->window_ns = now() - began;
	return upgrade_end(u, err);
}

int upgrade_resume(struct upgrade *u, struct upgrade_report *r)
{
	return report_to(u, r, resume);
}
