/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What the parts of the library's user space side share. */
#ifndef UPGRADE_PARTS_H
#define UPGRADE_PARTS_H

#include <time.h>
#include "keyset.h"
#include "upgrade.h"

enum {
	MARK_UPDATE, MARK_DELETE,	/* fentry of the hooks, or else of ... */
	MARK_ALL_CPUS, MARK_TAKE, MARK_BATCH,	/* ... the map's own functions */
	GATE_FIRST, GATE_LAST = GATE_FIRST + 2 * 4 - 1,	/* fmod_ret: four on each hook */
	PASSED_UPDATE, PASSED_DELETE,	/* fexit */
	COPY, BATCH, CLAIM, PROGRAMS,
	GATE_LINKS = PASSED_DELETE - GATE_FIRST + 1,
};
extern const char *const upgrade_programs[PROGRAMS];	/* their names, without UPGRADE_NAME */

#define UPGRADE_LRU_KEPT 128	/* LOCAL_FREE_TARGET of the kernel's bpf_lru_list.c */

/* An old map and the new one that takes its place. */
struct pair {
	struct upgrade *u;
	char name[UPGRADE_NAME_LEN];	/* the UPGRADE_NAME */
	int old_fd;			/* the caller's, until upgrade_open() returns */
	struct upgrade_pair_config *config;	/* until the object is loaded */
	struct bpf_map *shared;		/* the map that has the next */
	struct upgrade_pair_state *state;	/* in memory shared with the programs */
	struct bpf_map *old_map, *new_map;
	int owners_like;		/* see own_prepare(); -1: none */
	struct bpf_program *prog[PROGRAMS];
	struct bpf_link *link[PROGRAMS];
	struct ring_buffer *marks;
	struct keyset dirty;		/* reported and not reconciled yet */
	char *batch;			/* the mapped upgrade_keys, for upgrade_batch */
	size_t stride;			/* of its keys */
	__u32 old_type;			/* of the old map */
	bool no_delete;			/* the new map is an array */
	bool percpu;			/* both maps are per-CPU */
	bool out_of_memory;
	__u64 refused;			/* write_errors that do not matter any more */
};

struct upgrade {
	struct upgrade_opts opts;
	struct upgrade_report *report, full;	/* the first points to the other */
	struct upgrade_state *state;	/* in memory shared with the programs */
	struct bpf_object *obj;
	struct pair *pairs;
	__u32 count;			/* of pairs */
	int outer_fd, inner_fd;		/* see wait_for_programs() */
	int instance_fd;		/* see wait_for_calls() */
	int pins_fd;			/* of the folder opts.pins, while the gate is pinned */
	bool preallocated;		/* the owners are: see own.c */
	bool hooks;			/* they report the changes: see watch.c */
	bool gate;			/* see gate.bpf.h */
	bool ran;			/* this process began the upgrade */
	const char *unknown;		/* why something cannot be known, and counts as one */
	__u64 sampled;
};

#define for_each_pair(p, upgrade) \
	for (struct pair *p = (upgrade)->pairs; p < (upgrade)->pairs + (upgrade)->count; p++)

static inline __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static inline enum upgrade_way way_of(const struct upgrade_opts *opts)
{
	return opts->replace_old ? UPGRADE_REPLACES :
	       opts->calls_old ? UPGRADE_CALLS : UPGRADE_BESIDE;
}

/* Do events run both versions, side by side, while both are attached? */
static inline bool is_side_by_side(const struct upgrade *u)
{
	return way_of(&u->opts) == UPGRADE_BESIDE;
}

/*
 * open.c: copy a struct that begins with its size from the caller, who may have been
 * compiled with an older or a newer version. False if it has less than `least` bytes
 * or more than is known here, unless those are 0.
 */
bool copy_in(void *to, size_t size, size_t least, const void *from);

/* pairs.c: the maps that an object upgrades. */

/* Find them in the object, with what it says of them; 0 or a negative errno. */
int pairs_find(struct upgrade *u);

/* What belongs to one: maps and programs are named after it. */
struct bpf_map *pair_map(const struct pair *p, const char *what);
struct bpf_program *pair_program(const struct pair *p, const char *what);

/* links.c: the parts of a run that need the object to be loaded; end it in any case. */
int upgrade_begin(struct upgrade *u);	/* undoes what it did, if it fails */
int upgrade_end(struct upgrade *u, int err);
/* Tell the writers the phase. */
void release_writers(struct upgrade *u);
/* Attach those of the programs from `first` to `last` that are loaded; detach them. */
int upgrade_attach(struct upgrade *u, int first, int last);
int upgrade_detach(struct upgrade *u, int first, int last);
/* Take over the gate of a dead process, if it is pinned; false if there is none. */
bool upgrade_find_gate(struct upgrade *u);
/* Close what is attached; what is pinned stays. */
void upgrade_leave(struct upgrade *u);

/* check.c: give the caller a reason, which names the pair if there are several. */
int __attribute__((format(printf, 3, 4)))
refuse(const struct upgrade *u, int err, const char *format, ...);
int __attribute__((format(printf, 3, 4)))
refuse_pair(const struct pair *p, int err, const char *format, ...);

/* Can the library and the object handle these two maps? */
int check_maps(struct pair *p);

/*
 * watch.c: find the library's programs, and have those loaded that are needed, with what
 * the markers are to be attached to. To be called after check_maps().
 */
int watch_prepare(struct upgrade *u);

/* report.c: */

/* Do it, and give the caller as much of the report as he knows of. */
int report_to(struct upgrade *u, struct upgrade_report *report, int (*what)(struct upgrade *u));

/* Record an error, unless there is an earlier one; returns `err`. */
int __attribute__((format(printf, 3, 4)))
report_error(struct upgrade *u, int err, const char *format, ...);
int __attribute__((format(printf, 3, 4)))
report_pair_error(const struct pair *p, int err, const char *format, ...);

void report_sample(struct upgrade *u, bool always);
void report_phase(struct upgrade *u, enum upgrade_phase phase);

/* Reports of changes of all old maps. */
__u64 report_changes(const struct upgrade *u);

/* Is it one of the library's programs? */
bool is_ours(const struct upgrade *u, const struct bpf_program *prog);

/* Count events that the new version misses, from the switch until the old one is gone. */
void report_begin_missed(struct upgrade *u);
void report_missed(struct upgrade *u);

/* Is the new map other than it should be? 0 or -EUCLEAN. */
int report_differences(struct upgrade *u);

/* Fill in what the programs counted, and judge what happened on the way there. */
void report_fill_in(struct upgrade *u);
int report_judge(struct upgrade *u);

/* special.c: does a field of this type belong to the kernel? */
struct btf;
struct btf_type;
bool special_type(const struct btf *btf, const struct btf_type *t);

/* Add those of a type at `offset`; returns their number, -1: too many. */
int special_find(const struct btf *btf, __u32 id, __u32 offset,
		 struct upgrade_field *special, int count);

/* pins.c: is the new version pinned in opts.pins? 0 or a negative errno. */
int pins_check(struct upgrade *u);
/* The skipped runs of what is pinned there of it, or a negative errno. */
__s64 pins_misses(struct upgrade *u);

/* wait.c: */
int wait_prepare(struct upgrade *u);	/* before the object is loaded */
int wait_open(struct upgrade *u);
void wait_close(struct upgrade *u);

/*
 * Wait until every system call on a map and every non-sleepable program that is now
 * running has ended.
 */
int wait_for_programs(struct upgrade *u);

/*
 * Wait until every call of a traced function that is now between two programs, or
 * before the first, has got past all of them.
 */
int wait_for_calls(struct upgrade *u);

/* mover.c: */

/* The rings of reports: open one, and read what is in all of them. */
int mover_open_ring(struct pair *p);
int mover_drain(struct upgrade *u);

/* Have the kernel compare all elements of the old map, or of the new one. */
int mover_run_old(struct pair *p, enum upgrade_pass pass);
int mover_run_new(struct pair *p, enum upgrade_pass pass);

/* Compare those of the keys that were reported so far, after a grace period. */
int mover_reconcile(struct upgrade *u, enum upgrade_pass pass);

/* own.c: before the object is loaded; make a map of owners; free all of them once DONE. */
int own_prepare(struct upgrade *u);
int own_begin(struct pair *p);
int own_end(struct upgrade *u);

/* freeze.c: have system calls that change the old map fail with -EPERM. */
int freeze_old(struct pair *p);

/*
 * course.c: up to the switch; the switch; of this, to have the old version replaced; what
 * is left to do then.
 */
int course_watch(struct upgrade *u);
int course_switch(struct upgrade *u);
int course_replace(struct upgrade *u);
int course_settle(struct upgrade *u);

#endif /* UPGRADE_PARTS_H */
