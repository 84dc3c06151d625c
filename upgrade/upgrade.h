/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * Live upgrade of a stateful BPF program, the user space side. README.md has an
 * example and explains why nothing is lost.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <bpf/libbpf.h>
#include "state.h"

#ifndef UPGRADE_API
#define UPGRADE_API __attribute__((visibility("default")))
#endif

struct upgrade;

/* The progress of an upgrade, for plots. */
struct upgrade_sample {
	enum upgrade_phase phase;
	__u64 reported;		/* changes of the old map so far */
	__u64 dirty;		/* keys reported and not reconciled yet */
	__u64 copied;		/* elements compared by the bulk copy so far */
};

struct upgrade_old_map {
	const char *name;
	int fd;
};

/*
 * A number that is 0 means its default. `sz` is the size of the struct that the caller
 * was compiled with, as in libbpf: LIBBPF_OPTS(upgrade_opts, opts, ...) sets it.
 */
struct upgrade_opts {
	size_t sz;
	int old_map_fd;

	/* Where upgrade_open() is to say why it fails; NULL: nowhere. */
	char *error;
	size_t error_size;

	/*
	 * Attach the new version's programs, detach the old version's. Return 0
	 * or a negative errno. If both are attached to the same function, the
	 * new one must be attached last: then it runs first. The library waits for
	 * events of before the switch before it calls detach_old(), so nobody else may
	 * detach the old version. upgrade_resume() calls it, too, unless it has returned
	 * 0: what it finds detached is no error.
	 */
	int (*attach_new)(void *ctx);
	int (*detach_old)(void *ctx);

	/*
	 * From the switch until detach_old() has been called, the new version
	 * handles the events, and the old version's changes of its map fail with
	 * -EPERM, unless they belong to an event that began before the switch. (If this
	 * process dies or calls upgrade_close() before the old version is detached,
	 * they no longer fail, unless there are `pins`.) Set
	 * this if the old version decides something by what is in its map: then it
	 * must go on recording until it is detached, and what it records alone is
	 * carried over. Without the hooks, its changes cannot be refused in any case:
	 * upgrade_open() asks for this, or for replace_old() or calls_old.
	 */
	bool old_decides;

	/*
	 * The folder of a bpffs in which attach_new() pins the links of the new
	 * version: the upgrade is aborted if one is attached but not pinned, since
	 * it would go away with this process after the old version is detached.
	 * From before the switch until then, upgrade_run() also pins there what refuses the
	 * old version's changes, as NAME_gate_* and NAME_passed_*. If it is killed before
	 * the switch, the caller has to remove these pins with his own.
	 * NULL: the new version is meant to live only as long as this process.
	 */
	const char *pins;

	/*
	 * Just before the switch, the old map is frozen for good: system calls that
	 * change it fail with -EPERM. A process that gets this error has to call
	 * upgrade_claim() and to change the new map. If others can tell from a lock
	 * that it is time, or the map cannot be frozen, hold them: return 0 once
	 * none of them has an operation in flight and none will begin one, or a
	 * negative errno to abort the upgrade. What holds them must go away with
	 * this process, as flock() does.
	 *
	 * release_writers() is called right after the switch, or if that failed. If
	 * the phase is below SWITCHED, they continue to use the old map. Otherwise,
	 * they use the new map and its layout, and call upgrade_claim() before each
	 * change. It is called again with the phase DONE, by upgrade_resume() if that
	 * finished the upgrade: then they need not claim any more. Both can be NULL.
	 */
	int (*hold_writers)(void *ctx);
	void (*release_writers)(void *ctx, enum upgrade_phase phase);

	/*
	 * Do not freeze the old map: it has locks, timers or the like, or is mapped.
	 * Then all that change it with system calls must be held.
	 */
	bool no_freeze;

	void (*sample)(void *ctx, const struct upgrade_sample *sample);	/* or NULL */
	void *ctx;

	__u32 marks_size;	/* bytes of the ring of reports; default 1 MiB */
	__u32 max_owned;	/* keys that the new version can write in the window;
				 * default: the new map's max_entries */
	__u32 quiet_keys;	/* switch if a pass has no more keys; default 64 */
	__u32 max_passes;	/* reconcile passes before the switch; default 16 */
	__u32 min_passes;	/* ... even if quiet; default 0 */

	/*
	 * Instead of attach_new() and detach_old(): put the new version's program in
	 * the place of the old one's in a single step, as bpf_link__update_program()
	 * does for a link of XDP, tcx, netkit or a cgroup. Each event runs one of them.
	 * Called right after the switch, before writers are released; if it fails, it
	 * must have changed nothing, and the upgrade is aborted. upgrade_resume() calls
	 * it, too, if the process died before it had returned.
	 */
	int (*replace_old)(void *ctx);

	/*
	 * Watch the functions that change maps of the old map's type, as upgrade_open()
	 * does on a kernel without the hooks, even if this kernel has them. README.md
	 * says what that promises. It needs replace_old(), calls_old or old_decides.
	 */
	bool without_hooks;

	/*
	 * Several maps in one switch, instead of old_map_fd: the old map for each
	 * UPGRADE_NAME in the object. A name that is not here has no old map. What is
	 * said here of the old and the new map then holds for each pair, max_owned
	 * included, and the numbers in the report are sums. Maps are frozen one by one:
	 * if one cannot be, the upgrade is aborted, but those before it stay frozen.
	 */
	const struct upgrade_old_map *old_maps;
	__u32 nr_old_maps;

	/*
	 * Where upgrade_active() returns false, the new version's programs call the old
	 * ones with bpf_tail_call(), so each event runs one version. attach_new() puts
	 * them in the old ones' place, one by one: links of XDP, tcx and so on, on as
	 * many interfaces as there are. The switch needs nothing else: detach_old() and
	 * replace_old() must be NULL. If the upgrade is aborted, the caller puts the old
	 * programs back before it closes the object: that empties the array which the
	 * new ones call them from, unless it is pinned.
	 */
	bool calls_old;

	/*
	 * The new version's programs also run in NMIs (those for perf events do in any
	 * case). Then the memory for all max_owned keys is taken at the start: what
	 * the kernel does to take some later can wait forever for its own CPU.
	 */
	size_t :0;		/* older versions must not take it for padding */
	bool in_nmis;
	size_t :0;
};

/* Counts, unless noted. upgrade_run() fails if one that must be 0 is not. */
struct upgrade_report {
	size_t sz;			/* set by the caller, see upgrade_opts */
	enum upgrade_phase phase;	/* the last one reached; below SWITCHED: aborted */
	char error[192];		/* what failed; empty if nothing did */

	__u64 changes;		/* reports of changes of the old map */
	__u64 copied;		/* elements that the bulk copy wrote */
	__u64 passes;		/* reconcile passes before the switch */
	__u64 dirty;		/* keys reconciled in them, summed over the passes */
	__u64 reconciled;	/* of these, elements that had to be changed */
	__u64 refreshed;	/* elements copied because the new version asked */
	__u64 repaired_marked;	/* changed once frozen: reported keys */
	__u64 repaired_unmarked;	/* ... and keys without a report */
	__u64 stragglers;	/* times that this and the proof had to be repeated,
				 * because the old map was changed nevertheless */
	__u64 keys;		/* in the old map, once frozen */
	__u64 kept;		/* of these, keys that the new version had written */

	__u64 unmarked;		/* reports that found the ring full: harmless */
	__u64 recursion_misses;	/* skipped runs of the library's programs on the hooks,
				 * for any map: harmless */

	__u64 missing, stale, resurrected;	/* found by the proof; must be 0 */
	__u64 evicted;		/* missing in an LRU map, see README.md: harmless */
	__u64 missed_events;	/* skipped runs of the new version while the old one
				 * was still attached; must be 0. Those that
				 * upgrade_resume() cannot know of count as one: see
				 * opts.pins */

	/* Calls of the new version that the library had to refuse; must be 0. */
	__u64 lock_failures;	/* in an NMI that found the key locked */
	__u64 own_failures;	/* more than opts.max_owned keys, or no memory (interrupts) */
	__u64 copy_failures;	/* the new map had no room for the old map's element, or
				 * that was replaced faster than it could be read */

	__u64 handled_twice;	/* events that both versions may have handled; must be 0.
				 * Those that upgrade_resume() cannot know of count as
				 * one: see opts.pins */

	__u64 write_errors;	/* elements that the new map refused: harmless, unless
				 * counted as missing or in copy_failures */

	__u64 watch_ns;		/* from attaching the markers to the switch */
	__u64 window_ns;	/* from the switch to the end */
	__u64 hold_ns;		/* that writers in user space were held, around the switch */

	__u64 hooks;		/* 1: the hooks reported the changes; 0: the old map's own
				 * functions did */
};

/*
 * To be called between open and load of the new version's object: makes the object
 * use the old map, sets the sizes of maps, and has the library's programs loaded.
 * `opts` is copied. Returns 0 or a negative errno, with a reason in opts->error:
 *
 * -ENOENT	the object does not include upgrade.bpf.h
 * -EBUSY	it is loaded already, or a map of the library's is replaced
 * -EPROTO	it includes the upgrade.bpf.h of another version of the library
 * -EINVAL	opts->sz is wrong, opts contradicts itself, two of several maps are the
 *		same, key or value sizes do not match, a map is not an array, hash or LRU
 *		hash or one of these per CPU, only one of the maps is per-CPU, a program
 *		is sleepable
 * -E2BIG	the new map is smaller than an old array; keys, values or possible CPUs
 *		beyond what README.md promises
 * -EOPNOTSUPP	the kernel has no hooks, and opts has none of replace_old(), calls_old and
 *		old_decides; or it lacks a function to watch instead
 *
 * or what prevents the use of tracefs, which is needed to wait for RCU Tasks.
 */
UPGRADE_API int upgrade_open(struct bpf_object *obj, const struct upgrade_opts *opts,
			     struct upgrade **upgrade);

/*
 * To be called after load. Returns 0 if the new version is in charge and the proof
 * found nothing wrong; otherwise a negative errno, and report->error says what
 * failed. `report` is always filled in, and report->phase tells what that means:
 *
 * below SWITCHED	the old version goes on as if nothing had happened, except that its
 *			map may be frozen; the caller must detach the new one
 * SWITCHED		the new version is in charge and right, but its map is not
 *			complete: it still needs the old map. upgrade_resume() tries
 *			again (-EUCLEAN: the proof found differences)
 * DONE			the map is complete, but the new version was not served
 *			well on the way there (-EUCLEAN)
 *
 * After a failure below SWITCHED, it can be called again; from SWITCHED on, it does
 * nothing and returns -EALREADY.
 * If report->sz is too small, nothing is done and -EINVAL returned.
 */
UPGRADE_API int upgrade_run(struct upgrade *upgrade, struct upgrade_report *report);

/*
 * Finish an upgrade that failed after the switch, or whose process died then, while its
 * new version is still attached. In the process that called upgrade_run(), call this
 * with the same `upgrade`. In another: open the same object, call upgrade_open() with the
 * same old maps (all of them, or this returns -EINVAL) and the folder in which its `pins`
 * are by now, replace all maps by those of the dead process with bpf_map__reuse_fd() (so
 * for a process that may die, they must have been pinned before the switch), load, and
 * call this. No process may change the old map with system calls, nor the new one without
 * upgrade_claim().
 * Otherwise like upgrade_run(); the report includes the counts of the dead process. If the
 * upgrade was DONE, its result is reported again. Returns -EINVAL if it had not reached the
 * switch, or if these are others of detach_old(), calls_old and replace_old().
 *
 * Until this is done, the new version notes its events, copies what it looks up, and
 * each key that it changes takes up room in a map of opts.max_owned: if there is too
 * little room, the report says so (handled_twice, own_failures).
 */
UPGRADE_API int upgrade_resume(struct upgrade *upgrade, struct upgrade_report *report);

/*
 * Before a process changes this key of the new map with a system call, while an
 * upgrade may be unfinished: have the library leave the key alone from then on.
 * `prog_fd` is the new version's program "upgrade_claim", or "NAME_claim" if the map has
 * an UPGRADE_NAME; it can be pinned.
 * Returns
 *
 * 0		the process may change the new map
 * 1		the old version is in charge: it must change the old map, or ask again if
 *		that is frozen already. If the upgrade was killed at that moment, this
 *		lasts until the next one: do not ask in a tight loop
 * < 0		it must leave the key alone: there is no room, see opts.max_owned
 */
UPGRADE_API int upgrade_claim(int prog_fd, const void *key, __u32 size);

/* Can be called at any time, also with NULL. Does not close the object. */
UPGRADE_API void upgrade_close(struct upgrade *upgrade);

#endif /* UPGRADE_H */
