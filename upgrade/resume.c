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

/* Can it be finished with these maps and functions? */
static int check(struct upgrade *u)
{
	if (u->state->phase < UPGRADE_SWITCHED)
		return report_error(u, -EINVAL, "not switched, so nothing to resume");
	if (!is_complete(u))
		return report_error(u, -EINVAL, "these are not all old maps of the upgrade, or others");
	if (u->state->way != way_of(&u->opts))
		return report_error(u, -EINVAL, "it was begun with others of detach_old, calls_old and replace_old");
	return 0;
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
		return upgrade_end(u, own_end(u));
	}
	err = check(u);
	if (err)
		return upgrade_end(u, err);
	report_phase(u, UPGRADE_SWITCHED);
	if (!upgrade_find_gate(u) && u->state->gate) {
		u->state->handled_twice = u->state->handled_twice ?: 1;
		u->unknown = "whoever upgraded did not pin the gate, or not here: until the old version was detached, both may have handled events";
	}
	err = upgrade_attach(u, MARK_UPDATE, MARK_BATCH);
	if (!err && u->state->replacing)
		err = course_replace(u);
	err = err ?: course_settle(u);
	if (r->phase == UPGRADE_DONE)
		release_writers(u);
	r->window_ns = now() - began;
	return upgrade_end(u, err);
}

int upgrade_resume(struct upgrade *u, struct upgrade_report *r)
{
	return report_to(u, r, resume);
}
