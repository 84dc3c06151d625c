// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The course of an upgrade: the steps in README.md. */
#include <errno.h>
#include "parts.h"

#define COPY_TRIES 4		/* more copies, if the new map refuses elements */
#define FINISH_TRIES 8		/* if the old map is changed even then */

/* Do it for all pairs of maps. */
static int each(struct upgrade *u, int (*what)(struct pair *p, enum upgrade_pass pass),
		enum upgrade_pass pass)
{
	int err = 0;

	for_each_pair(p, u)
		err = err ?: what(p, pass);
	return err;
}

static __u64 dirty(const struct upgrade *u)
{
	__u64 sum = 0;

	for_each_pair(p, u)
		sum += p->dirty.count;
	return sum;
}

/* What the new maps have refused so far does not matter any more. */
static void forget_refusals(struct upgrade *u)
{
	for_each_pair(p, u)
		p->refused = p->state->write_errors;
}

/* One whose new map has refused elements since then, or NULL. */
static const struct pair *refusing(const struct upgrade *u)
{
	for_each_pair(p, u)
		if (p->state->write_errors != p->refused)
			return p;
	return NULL;
}

static int check_room(const struct upgrade *u)
{
	const struct pair *p = refusing(u);

	return p ? report_pair_error(p, -E2BIG, "the new map refused %llu elements",
				     p->state->write_errors - p->refused) : 0;
}

static int reconcile_until_quiet(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u64 before = ~0ULL;
	__u32 shrinking = 2;
	int err;

	for (;; r->passes++) {
		err = mover_drain(u);
		if (err)
			return err;
		if (r->passes >= u->opts.min_passes &&
		    (dirty(u) <= u->opts.quiet_keys || !shrinking ||
		     r->passes >= u->opts.max_passes))
			return 0;
		if (dirty(u) >= before && shrinking)
			shrinking--;
		before = dirty(u);
		r->dirty += before;
		err = mover_reconcile(u, UPGRADE_RECONCILE);
		if (err)
			return err;
	}
}

/* From then on, every event runs the new version first, which does nothing yet. */
static int attach_new(struct upgrade *u)
{
	int err = u->opts.attach_new(u->opts.ctx);

	if (err)
		return report_error(u, err, "cannot attach the new version");
	return pins_check(u) ?: wait_for_programs(u);
}

/* Up to the switch: the old version is left alone, and giving up costs nothing. */
int course_watch(struct upgrade *u)
{
	int err = 0;

	report_phase(u, UPGRADE_WATCHING);
	u->state->way = way_of(&u->opts);
	u->state->pairs = u->count;
	forget_refusals(u);
	for_each_pair(p, u) {
		p->state->takes_part = 1;
		err = err ?: own_begin(p);
	}
	err = err ?: upgrade_attach(u, MARK_UPDATE, MARK_BATCH);
	if (err)
		return err;
	report_sample(u, true);
	/* Let changes that had already passed the hook end before the copy begins. */
	err = wait_for_programs(u) ?: each(u, mover_run_old, UPGRADE_COPY);
	if (err)
		return err;
	err = u->opts.replace_old ? 0 : attach_new(u);
	err = err ?: reconcile_until_quiet(u);
	/* A full map refuses a key until the key that it replaced is gone. */
	for (int i = 0; !err && refusing(u) && i < COPY_TRIES; i++) {
		forget_refusals(u);
		err = mover_drain(u) ?: mover_reconcile(u, UPGRADE_RECONCILE) ?:
		      each(u, mover_run_old, UPGRADE_COPY) ?: reconcile_until_quiet(u);
	}
	err = err ?: check_room(u);
	/* From the switch on, they see to it that an event is handled once. */
	if (!err && u->gate)
		err = upgrade_attach(u, GATE_FIRST, PASSED_DELETE);
	if (err)
		return err;
	u->state->gate = u->gate;
	u->state->replacing = !!u->opts.replace_old;
	/* Who sees the switch must see these as well, on a weakly ordered CPU, too. */
	return wait_for_programs(u);
}

/*
 * One round. Its last pass must not fail for want of room: from then on, the new version's
 * reads take the new map to be complete.
 */
static int complete(struct upgrade *u)
{
	int err = mover_drain(u) ?: mover_reconcile(u, UPGRADE_MARKED);

	for_each_pair(p, u)
		p->state->skipped = 0;
	err = err ?: each(u, mover_run_new, UPGRADE_GONE);
	forget_refusals(u);
	return err ?: each(u, mover_run_old, UPGRADE_FULL) ?: check_room(u);
}

/* Compare the maps: neither changes, except for what the new version owns. */
static int prove(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	int err;

	for_each_pair(p, u) {
		p->state->missing = 0;
		p->state->stale = 0;
		p->state->resurrected = 0;
		p->state->evicted = 0;
	}
	report_phase(u, UPGRADE_SETTLED);
	/* An event that saw the previous phase may still copy: the value is right. */
	err = wait_for_programs(u) ?: each(u, mover_run_old, UPGRADE_CHECK);
	r->keys = 0;
	r->kept = 0;
	for_each_pair(p, u) {
		r->keys += p->state->keys;
		r->kept += p->state->kept;
	}
	err = err ?: each(u, mover_run_new, UPGRADE_CHECK_GONE);
	/* Nothing is copied any more, so ownership does not matter any more. */
	return err ?: wait_for_programs(u);
}

/*
 * Complete the new map. Unless this succeeds, the phase is SWITCHED in the end: then
 * the new version copies what it touches from the old map, and so is right by itself
 * until upgrade_resume() completes its map.
 */
static int finish(struct upgrade *u)
{
	bool straggler = true;
	__u64 reported;
	int err = 0;

	for (int i = 0; !err && straggler && i < FINISH_TRIES; i++) {
		reported = report_changes(u);
		err = complete(u) ?: prove(u);
		straggler = report_changes(u) != reported;
		if (!err && !straggler)
			err = report_differences(u);
		report_phase(u, err || straggler ? UPGRADE_SWITCHED : UPGRADE_DONE);
		u->report->stragglers += straggler;
	}
	if (!err && straggler)
		err = report_error(u, -EBUSY, "the old map is still being changed");
	return err ?: own_end(u);
}

/*
 * The old version is detached, so no further run of it begins. Once those that had begun
 * have ended, and with the map frozen for system calls, nothing changes the old map any
 * more. A task that was preempted on its way into the program is not an RCU reader yet.
 */
static int end_old(struct upgrade *u)
{
	int err = is_side_by_side(u) ? wait_for_calls(u) : 0;

	err = err ?: wait_for_programs(u);
	if (err)
		return err;
	u->state->gate = 0;
	return upgrade_detach(u, GATE_FIRST, PASSED_DELETE);
}

/*
 * The phase was set before, so that the first event of the new version finds it. Until
 * the old version is gone, though, nobody may own a key that it might still change:
 * upgrade_claim() refuses to.
 */
int course_replace(struct upgrade *u)
{
	int err = u->opts.replace_old(u->opts.ctx);

	if (err)
		return report_error(u, err, "cannot replace the old version");
	__atomic_store_n(&u->state->replacing, 0, __ATOMIC_SEQ_CST);
	return 0;
}

/* Once this has succeeded, there is no way back, whatever fails. */
int course_switch(struct upgrade *u)
{
	int err;

	if (is_side_by_side(u))
		report_begin_missed(u);
	report_phase(u, UPGRADE_SWITCHED);
	err = u->state->replacing ? course_replace(u) : 0;
	if (err)
		report_phase(u, UPGRADE_WATCHING);	/* no event has run the new version */
	return err;
}

static int detach_old(struct upgrade *u)
{
	int err;

	/*
	 * An event that saw the previous phase belongs to the old version, whose
	 * program has yet to run in that call. Detaching removes it from calls
	 * in flight, so let these end first. Between the two programs, a task is
	 * not an RCU reader and can be preempted, but RCU Tasks waits for it.
	 */
	err = wait_for_calls(u) ?: mover_drain(u) ?: mover_reconcile(u, UPGRADE_MARKED);
	if (err)
		return err;
	err = u->opts.detach_old(u->opts.ctx);
	if (err)
		return report_error(u, err, "cannot detach the old version");
	u->state->detached = 1;
	return 0;
}

int course_settle(struct upgrade *u)
{
	int err = is_side_by_side(u) && !u->state->detached ? detach_old(u) : 0;

	if (err)
		return err;
	report_missed(u);
	report_sample(u, true);
	return end_old(u) ?: finish(u);
}
