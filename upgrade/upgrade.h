/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live upgrade of a stateful BPF program, the user space side. README.md has an
 * example and the argument why nothing is lost.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stdbool.h>
#include <bpf/libbpf.h>
#include "state.h"

struct upgrade;

/* Where an upgrade stands; for plots. */
struct upgrade_sample {
	enum upgrade_phase phase;
	__u64 reported;		/* changes of the old map so far */
	__u64 dirty;		/* keys reported and not reconciled yet */
	__u64 copied;		/* elements compared by the bulk copy so far */
};

/* A zero in a number means its default. */
struct upgrade_opts {
	int old_map_fd;

	/*
	 * Attach the new version's programs, detach the old version's. 0 or a
	 * negative errno. Where both are on one function, the new one has to be
	 * the last attached: then it runs first.
	 */
	int (*attach_new)(void *ctx);
	int (*detach_old)(void *ctx);

	/*
	 * Hold back the processes that change the old map by system calls:
	 * return when none of them has an operation under way and none will
	 * begin one; 0 or a negative errno, which ends the upgrade. From
	 * release_writers() on they use the new map in the new layout if
	 * `switched`, and go on with the old one if not. It is called whatever
	 * hold_writers() returned. NULL: there are none.
	 */
	int (*hold_writers)(void *ctx);
	void (*release_writers)(void *ctx, bool switched);

	void (*sample)(void *ctx, const struct upgrade_sample *sample);	/* or NULL */
	void *ctx;

	__u32 marks_size;	/* bytes of the ring of reports; default 1 MiB */
	__u32 created_size;	/* bytes of the ring of keys that come into the new map
				 * in the window; default 1 MiB */
	__u32 max_owned;	/* keys the new version may write in the window;
				 * default: twice the new map's max_entries */
	__u32 quiet_keys;	/* so few keys in a pass are quiet; default 64 */
	__u32 max_passes;	/* before the switch; default 16 */
	__u32 min_passes;	/* before the switch, even if quiet; default 0 */
};

/* Counts, unless noted. What has to be 0 makes upgrade_run() fail otherwise. */
struct upgrade_report {
	enum upgrade_phase phase;	/* where it ended; below SWITCHED: aborted */
	char error[192];		/* what failed; empty: nothing */

	__u64 changes;		/* reports of changes of the old map */
	__u64 copied;		/* elements that the bulk copy wrote */
	__u64 passes;		/* reconcile passes before the switch */
	__u64 dirty;		/* keys reconciled in them, each pass by itself */
	__u64 reconciled;	/* of these, elements that had to be changed */
	__u64 refreshed;	/* elements copied because the new version asked */
	__u64 repaired_marked;	/* changed in the frozen state: reported keys */
	__u64 repaired_unmarked;	/* ... and keys that no report named */
	__u64 stragglers;	/* times that this had to be done again */
	__u64 keys;		/* of the old map, once frozen */
	__u64 kept;		/* of these, keys that the new version had written */

	__u64 unmarked;		/* reports the ring had no room for: harmless */
	__u64 recursion_misses;	/* runs of the markers skipped: harmless before the
				 * old map was frozen, afterwards taken for reports */

	__u64 missing, stale, resurrected;	/* the proof; have to be 0 */
	__u64 late;		/* reports after the old map was frozen; 0 */
	__u64 missed_events;	/* the new version was skipped while the old one
				 * was still attached; 0 */
	__u64 unlisted, lock_failures, own_failures;	/* 0 */
	__u64 write_errors;	/* the new map refused an element; harmless if
				 * the proof finds nothing missing */

	__u64 watch_ns;		/* from the markers to the switch */
	__u64 window_ns;	/* from the switch to the end */
	__u64 hold_ns;		/* writers in user space were held back */
};

/*
 * Between open and load of the new version's object. Takes the old map over
 * into the object, sets sizes, and has the library's programs loaded. `opts` is
 * copied. 0 or a negative errno, with a reason on stderr:
 *
 * -ENOENT	the object does not include upgrade.bpf.h
 * -EINVAL	key or value sizes do not match, a type of map that is not
 *		reported, one map per-CPU and the other not, a sleepable program
 * -E2BIG	the new map is smaller than the old one; more than 64 CPUs with
 *		per-CPU maps
 */
int upgrade_open(struct bpf_object *obj, const struct upgrade_opts *opts,
		 struct upgrade **upgrade);

/*
 * After load. 0: the new version is in charge and the proof found nothing.
 * Otherwise a negative errno, and report->error says what failed. If
 * report->phase is below UPGRADE_SWITCHED, the old version goes on as if
 * nothing had been, and the caller detaches the new one. Otherwise the new
 * version is in charge, and the report tells what is wrong with its map
 * (-EUCLEAN where it is the proof that failed). `report` is always filled in.
 */
int upgrade_run(struct upgrade *upgrade, struct upgrade_report *report);

/*
 * Finish an upgrade whose process died after the switch, for a new version that
 * is still attached. Open the same object, call upgrade_open() with the same old
 * map, have all its maps replaced by those of the died one (bpf_map__reuse_fd();
 * so they have to be pinned before the switch), load, resume. The old version has
 * to be detached and no process may change the old map by system calls. Like
 * upgrade_run() otherwise, but the report knows of the counts of both.
 *
 * Until this is done, the new version copies what it looks at, and each key that
 * it changes takes room in a map of opts.max_owned: if that was too small, the
 * report says so (own_failures). -EINVAL: the upgrade had not come to the switch.
 * missed_events counts from the switch on and died with who counted; if the proof
 * was over, it is not repeated, and what it found is told again.
 */
int upgrade_resume(struct upgrade *upgrade, struct upgrade_report *report);

/* At any time; NULL is fine. The object stays. */
void upgrade_close(struct upgrade *upgrade);

#endif /* UPGRADE_H */
