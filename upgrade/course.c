// SPDX-License-Identifier: GPL-2.0-only
/* The course of an upgrade: the steps in README.md. */
#include <errno.h>
#include <unistd.h>
#include "parts.h"

#define COPY_TRIES 4		/* more copies, if the new map refuses elements */
#define FREEZE_TRIES 64		/* grace periods to wait for stragglers to end */
#define STRAGGLER_US 30000	/* a few time slices */

static int reconcile_until_quiet(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u32 before = ~0U, shrinking = 2;
	int err;

	for (;; r->passes++) {
		err = mover_drain(u);
		if (err)
			return err;
		if (r->passes >= u->opts.min_passes &&
		    (u->dirty.count <= u->opts.quiet_keys || !shrinking ||
		     r->passes >= u->opts.max_passes))
			return 0;
		if (u->dirty.count >= before && shrinking)
			shrinking--;
		before = u->dirty.count;
		r->dirty += before;
		err = mover_reconcile(u, UPGRADE_RECONCILE);
		if (err)
			return err;
	}
}

/* Up to the switch: the old version is left alone, and giving up costs nothing. */
int course_watch(struct upgrade *u)
{
	int err;

	report_phase(u, UPGRADE_WATCHING);
	err = upgrade_attach_markers(u);
	if (err)
		return err;
	report_sample(u, true);
	/* Let changes that had already passed the hook end before the copy begins. */
	err = mover_wait(u) ?: mover_run_all(u, UPGRADE_COPY);
	if (err)
		return err;
	err = u->opts.attach_new(u->opts.ctx);
	if (err)
		return report_error(u, err, "cannot attach the new version");
	/* Now every event runs the new version first, which does nothing yet. */
	err = mover_wait(u) ?: reconcile_until_quiet(u);
	/* A full map refuses a key until the key that it replaced is gone. */
	for (int i = 0; !err && u->state->write_errors && i < COPY_TRIES; i++) {
		u->state->write_errors = 0;
		err = mover_drain(u) ?: mover_reconcile(u, UPGRADE_RECONCILE) ?:
		      mover_run_all(u, UPGRADE_COPY) ?: reconcile_until_quiet(u);
	}
	if (!err && u->state->write_errors)
		err = report_error(u, -E2BIG, "the new map refused %llu elements",
				   u->state->write_errors);
	return err;
}

/* Wait for the changes that the old version still had in flight. */
static int freeze(struct upgrade *u)
{
	__u64 reported;
	int err;

	u->frozen = true;
	for (int i = 0; i < FREEZE_TRIES; i++) {
		reported = report_changes(u);
		err = mover_wait(u) ?: mover_drain_all(u);
		if (err || report_changes(u) == reported)
			return err;
	}
	return report_error(u, -EBUSY, "the old map is still being changed");
}

/* Sets *reported to the number of reports up to which the new map is complete. */
static int complete(struct upgrade *u, __u64 *reported)
{
	__u64 *changed = u->state->changed, before;
	int err;

	for (int i = 0; i < FREEZE_TRIES; i++) {
		*reported = report_changes(u);
		before = changed[UPGRADE_FULL];
		err = mover_reconcile(u, UPGRADE_MARKED);
		if (!err && !u->no_delete)
			err = mover_run(u, &u->known, UPGRADE_FULL);
		if (!err)
			err = mover_run_all(u, UPGRADE_FULL);
		if (!err)
			err = mover_drain_all(u);
		if (err || report_changes(u) == *reported)
			return err;
		/* A straggler: an event that was held up between the versions. */
		u->report->stragglers++;
		changed[UPGRADE_MARKED] += changed[UPGRADE_FULL] - before;
		changed[UPGRADE_FULL] = before;
		err = freeze(u);
		if (err)
			return err;
	}
	return report_error(u, -EBUSY, "the old map is still being changed");
}

/* Compare the maps: neither changes, except for what the new version owns. */
static int prove(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	int err = mover_run_all(u, UPGRADE_CHECK);

	r->keys = u->state->keys;
	r->kept = u->state->kept;
	if (!err && !u->no_delete)
		err = mover_drain_all(u) ?: mover_run(u, &u->known, UPGRADE_CHECK_GONE);
	return err;
}

/* The old version is gone: complete the new map. Go on even if a step fails. */
int course_finish(struct upgrade *u, int first)
{
	__u64 reported = 0;
	int err;

	err = freeze(u);
	first = first ?: err;
	err = complete(u, &reported);
	first = first ?: err;

	/* An event that saw the previous phase may still copy: the value is right. */
	report_phase(u, UPGRADE_SETTLED);
	err = mover_wait(u) ?: prove(u);
	first = first ?: err;
	/* Nothing is copied any more, so ownership does not matter any more. */
	err = mover_wait(u);
	first = first ?: err;
	u->state->late = report_changes(u) - reported;
	report_phase(u, UPGRADE_DONE);
	return first;
}

/* After the switch there is no way back, whatever fails. */
int course_settle(struct upgrade *u)
{
	__u64 missed = report_missed_events(u);
	int first, err;

	report_phase(u, UPGRADE_SWITCHED);
	/*
	 * An event that saw the previous phase belongs to the old version, whose
	 * program has yet to run in that call. Detaching removes it from calls
	 * in flight, so let these end first. Between the two programs, a task is
	 * not an RCU reader and can be preempted, or its vCPU by the host: give
	 * it time to run.
	 */
	usleep(STRAGGLER_US);
	first = mover_wait(u) ?: mover_drain(u) ?: mover_reconcile(u, UPGRADE_MARKED);
	err = u->opts.detach_old(u->opts.ctx);
	if (err)
		report_error(u, err, "cannot detach the old version");
	first = first ?: err;
	u->report->missed_events = report_missed_events(u) - missed;
	report_sample(u, true);
	return course_finish(u, first);
}
