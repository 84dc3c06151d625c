// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The report of an upgrade, and how it is judged. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "parts.h"

#define SAMPLE_NS 20000000ULL

/* Up to the last member of the first version of the library. */
#define REPORT_LEAST (offsetof(struct upgrade_report, hold_ns) + sizeof(__u64))

int report_to(struct upgrade *u, struct upgrade_report *report, int (*what)(struct upgrade *u))
{
	size_t sz = report->sz, known = sz < sizeof(u->full) ? sz : sizeof(u->full);
	int err;

	if (sz < REPORT_LEAST)
		return -EINVAL;
	u->full = (struct upgrade_report){};
	u->report = &u->full;
	err = what(u);
	memset(report, 0, sz);
	memcpy(report, &u->full, known);
	report->sz = sz;
	return err;
}

/* Record an error, unless there is an earlier one. */
int __attribute__((format(printf, 3, 4)))
report_error(struct upgrade *u, int err, const char *format, ...)
{
	va_list args;

	if (!u->report->error[0]) {
		va_start(args, format);
		vsnprintf(u->report->error, sizeof(u->report->error), format, args);
		va_end(args);
	}
	return err;
}

int __attribute__((format(printf, 3, 4)))
report_pair_error(const struct pair *p, int err, const char *format, ...)
{
	char error[sizeof(p->u->report->error)];
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
	return p->u->count > 1 ? report_error(p->u, err, "%s: %s", p->name, error) :
				 report_error(p->u, err, "%s", error);
}

void report_sample(struct upgrade *u, bool always)
{
	struct upgrade_sample s = { .phase = u->state->phase };
	__u64 t = now();

	if (!u->opts.sample || (!always && t - u->sampled < SAMPLE_NS))
		return;
	u->sampled = t;
	for_each_pair(p, u) {
		s.reported += p->state->reported;
		s.dirty += p->dirty.count;
		s.copied += p->state->visited[UPGRADE_COPY];
	}
	u->opts.sample(u->opts.ctx, &s);
}

static __u64 misses(struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_program__fd(prog) < 0 ||
	    bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return 0;
	return info.recursion_misses;
}

bool is_ours(const struct upgrade *u, const struct bpf_program *prog)
{
	for_each_pair(p, u)
		for (int i = 0; i < PROGRAMS; i++)
			if (prog == p->prog[i])
				return true;
	return false;
}

/* Skipped runs of the new version's programs; negative: it is not known. */
static __s64 missed_so_far(struct upgrade *u)
{
	struct bpf_program *prog;
	__s64 sum = 0;

	if (!u->ran)
		return u->opts.pins ? pins_misses(u) : -ENOENT;
	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) && !is_ours(u, prog))
			sum += misses(prog);
	return sum;
}

void report_begin_missed(struct upgrade *u)
{
	u->state->missed_before = missed_so_far(u);
	u->state->counting_missed = 1;
}

void report_missed(struct upgrade *u)
{
	struct upgrade_state *state = u->state;
	__s64 missed;

	if (!state->counting_missed)
		return;
	missed = missed_so_far(u) - state->missed_before;
	if (missed < 0)
		u->unknown = "whoever upgraded did not pin the new version, or not here: it may have missed events until the old one was detached";
	state->missed = missed < 0 ? 1 : missed;
	state->counting_missed = 0;
}

void report_phase(struct upgrade *u, enum upgrade_phase phase)
{
	__atomic_store_n(&u->state->phase, phase, __ATOMIC_SEQ_CST);
	u->report->phase = phase;
	report_sample(u, true);
}

__u64 report_changes(const struct upgrade *u)
{
	__u64 sum = 0;

	for_each_pair(p, u)
		sum += p->state->reported;
	return sum;
}

static void fill_in(struct upgrade_report *r, const struct pair *p)
{
	const struct upgrade_pair_state *s = p->state;

	r->missing += s->missing;
	r->stale += s->stale;
	r->resurrected += s->resurrected;
	r->evicted += s->evicted;
	r->changes += s->reported;
	r->copied += s->changed[UPGRADE_COPY];
	r->reconciled += s->changed[UPGRADE_RECONCILE];
	r->refreshed += s->changed[UPGRADE_REFRESH];
	r->repaired_marked += s->changed[UPGRADE_MARKED];
	r->repaired_unmarked += s->changed[UPGRADE_FULL] + s->changed[UPGRADE_GONE];
	r->unmarked += s->unmarked;
	r->lock_failures += s->lock_failures;
	r->own_failures += s->own_failures;
	r->copy_failures += s->copy_failures;
	r->write_errors += s->write_errors;
	for (int i = MARK_UPDATE; i <= PASSED_DELETE; i++)
		r->recursion_misses += misses(p->prog[i]);
}

void report_fill_in(struct upgrade *u)
{
	u->report->hooks = u->hooks;
	u->report->missed_events = u->state->missed;
	u->report->handled_twice = u->state->handled_twice;
	for_each_pair(p, u)
		fill_in(u->report, p);
}

int report_differences(struct upgrade *u)
{
	__u64 missing = 0, stale = 0, resurrected = 0, skipped = 0;

	for_each_pair(p, u) {
		missing += p->state->missing;
		stale += p->state->stale;
		resurrected += p->state->resurrected;
		skipped += p->state->skipped;
	}
	if (!missing && !stale && !resurrected && !skipped)
		return 0;
	return report_error(u, -EUCLEAN,
			    "%llu missing, %llu stale, %llu resurrected, %llu not compared",
			    missing, stale, resurrected, skipped);
}

int report_judge(struct upgrade *u)
{
	struct upgrade_report *r = u->report;

	if (!r->missed_events && !r->handled_twice && !r->lock_failures &&
	    !r->own_failures && !r->copy_failures)
		return 0;
	if (u->unknown)
		return report_error(u, -EUCLEAN, "%s", u->unknown);
	return report_error(u, -EUCLEAN,
			    "%llu events missed, %llu handled twice, refused for want of %llu locks, %llu owners, %llu copies",
			    r->missed_events, r->handled_twice, r->lock_failures,
			    r->own_failures, r->copy_failures);
}
