/* SPDX-License-Identifier: GPL-2.0-only */
/* What upgrade.bpf.h and upgrade.c have in common. */
#ifndef UPGRADE_STATE_H
#define UPGRADE_STATE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Only ever goes up. See README.md for what each phase promises. */
enum upgrade_phase {
	UPGRADE_NONE,		/* no upgrade: the new version is the only one */
	UPGRADE_WATCHING,	/* the old version is in charge */
	UPGRADE_SWITCHED,	/* the new one is; what it touches is copied first */
	UPGRADE_SETTLED,	/* the new map is complete; the proof runs */
	UPGRADE_DONE,
};

/* Why an element of the new map is compared with the old map's. */
enum upgrade_pass {
	UPGRADE_COPY,		/* bulk copy */
	UPGRADE_RECONCILE,	/* reported, before the switch */
	UPGRADE_REFRESH,	/* the new version is about to touch it */
	UPGRADE_MARKED,		/* the old map is frozen: reported before that */
	UPGRADE_FULL,		/* frozen: all keys of either map */
	UPGRADE_CHECK,		/* proof: count differences, change nothing */
	UPGRADE_CHECK_GONE,	/* proof: only for keys that the old map lacks */
	UPGRADE_PASSES,
};

#define UPGRADE_NAME_LEN 64
#define UPGRADE_STRIPES 64
#define UPGRADE_BATCH 512	/* keys that one run of upgrade_batch takes */

/* Read-only once the object is loaded. */
struct upgrade_config {
	char old_map[UPGRADE_NAME_LEN];
	char new_map[UPGRADE_NAME_LEN];
	__u32 old_key_size;
	__u32 old_value_size;
	__u32 new_key_size;
	__u32 new_value_size;
	__u32 nr_cpus;		/* possible ones */
	__u8 enabled;		/* by upgrade_open(); without, all of it is dead code */
	__u8 percpu;		/* both maps are */
};

struct upgrade_state {
	__u32 phase;
	__u32 pass;		/* for upgrade_copy and upgrade_batch */
	__u32 batch;		/* keys in upgrade_keys */

	__u64 reported;		/* changes of the old map */
	__u64 unmarked;		/* of these, those the ring had no room for */
	__u64 unlisted;		/* keys created that the ring had no room for */
	__u64 lock_failures;
	__u64 own_failures;	/* no room in upgrade_owned */
	__u64 write_errors;	/* the new map refused an element */

	__u64 keys;		/* seen by this run of upgrade_copy */
	__u64 kept;		/* of these, owned by the new version at least in part */

	/* By the proof. */
	__u64 missing;
	__u64 stale;
	__u64 resurrected;
	__u64 late;		/* reports after the new map was complete */

	__u64 visited[UPGRADE_PASSES];	/* elements compared */
	__u64 changed[UPGRADE_PASSES];	/* elements written or deleted */
};

#endif /* UPGRADE_STATE_H */
