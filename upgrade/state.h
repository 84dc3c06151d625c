/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What upgrade.bpf.h and the library's user space side share. */
#ifndef UPGRADE_STATE_H
#define UPGRADE_STATE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/*
 * README.md says what each phase guarantees. It only increases, except that a failed
 * proof ends SETTLED with SWITCHED.
 */
enum upgrade_phase {
	UPGRADE_NONE,		/* no upgrade, or not yet */
	UPGRADE_WATCHING,	/* the old version is in charge */
	UPGRADE_SWITCHED,	/* the new one is; it copies what it touches first */
	UPGRADE_SETTLED,	/* the new map is complete; the proof runs */
	UPGRADE_DONE,
};

/* Why an element of the new map is compared with the old map's. */
enum upgrade_pass {
	UPGRADE_COPY,		/* bulk copy */
	UPGRADE_RECONCILE,	/* its key was reported, before the switch */
	UPGRADE_REFRESH,	/* the new version is about to touch it */
	UPGRADE_MARKED,		/* old map frozen: its key was reported before that */
	UPGRADE_FULL,		/* old map frozen: all its keys */
	UPGRADE_GONE,		/* ... and those of the new map that it does not have */
	UPGRADE_CHECK,		/* proof: count differences, change nothing */
	UPGRADE_CHECK_GONE,	/* proof: the same, for keys not in the old map */
	UPGRADE_PASSES,
};

#define UPGRADE_NAME_LEN 64
#define UPGRADE_STRIPES 64
#define UPGRADE_BATCH 512	/* keys per run of upgrade_batch */

#define UPGRADE_EVENTS 65536	/* room for places on stacks where events are handled */

/* The most that is verified and tested; upgrade_open() refuses more. */
#define UPGRADE_MAX_CPUS 256
#define UPGRADE_MAX_KEY 256
#define UPGRADE_MAX_VALUE 8192
#define UPGRADE_MAX_SPECIAL 8

/* A field of a value that only the kernel touches: a spin lock, a timer and so on. */
struct upgrade_field {
	__u32 offset;
	__u32 size;		/* 0: no more fields */
};

/* Of the structs below and of the library's programs. To be increased with each change. */
#define UPGRADE_VERSION 7

/* Of a pair of maps, an old one and a new one. Read-only once the object is loaded. */
struct upgrade_pair_config {
	__u32 version;
	char old_map[UPGRADE_NAME_LEN];
	char new_map[UPGRADE_NAME_LEN];
	__u32 old_key_size;
	__u32 old_value_size;
	__u32 new_key_size;
	__u32 new_value_size;
	__u32 nr_cpus;		/* possible CPUs; 1 unless per-CPU */
	struct upgrade_field old_special[UPGRADE_MAX_SPECIAL];
	struct upgrade_field new_special[UPGRADE_MAX_SPECIAL];
	__u8 enabled;		/* set by upgrade_open() if there is an old map */
	__u8 percpu;		/* both maps are per-CPU */
	__u8 no_delete;		/* the new map is an array */
	__u8 lru;		/* it evicts elements */
	__u32 lru_room;		/* as long as it has fewer, it does not */
};

/* How the new version takes over. */
enum upgrade_way {
	UPGRADE_BESIDE,		/* the old one is attached beside it, then detached */
	UPGRADE_CALLS,		/* it calls the old one until the switch */
	UPGRADE_REPLACES,	/* it takes the place of the old one at the switch */
};

/* All maps switch at once. */
struct upgrade_state {
	__u32 phase;
	__u32 way;
	__u32 gate;		/* events note that the new version handles them */
	__u32 replacing;	/* switched, but the old program is not replaced yet */
	__u32 detached;		/* the old version is */
	__u32 pairs;		/* that take part */
	__u64 handled_twice;	/* events that upgrade_events had no room for, or of
				 * which the gate missed a change */

	/* Skipped runs of the new version: before the switch, and until `detached`. */
	__u64 missed_before;
	__u64 missed;
	__u32 counting_missed;
};

struct upgrade_pair_state {
	__u32 takes_part;
	__u32 pass;		/* for upgrade_copy and upgrade_batch */
	__u32 batch;		/* keys in upgrade_keys */
	__u32 batch_of_new;	/* they are new keys, not old ones */

	__u64 reported;		/* changes of the old map */
	__u64 unmarked;		/* of these, reports that found the ring full */
	__u64 lock_failures;
	__u64 own_failures;	/* upgrade_owned was full when the new version asked */
	__u64 copy_failures;	/* the element could not be copied when the new version asked */
	__u64 write_errors;	/* the new map refused an element, in any pass */

	__u64 keys;		/* seen by this run of upgrade_copy */
	__u64 kept;		/* of these, owned at least in part by the new version */

	/* Found by the proof. */
	__u64 missing;
	__u64 stale;
	__u64 resurrected;
	__u64 evicted;		/* missing, but the new map is an LRU map */
	__u64 skipped;		/* not compared: the key's lock could not be taken */

	__u64 visited[UPGRADE_PASSES];	/* elements compared */
	__u64 changed[UPGRADE_PASSES];	/* elements written or deleted */
};

#endif /* UPGRADE_STATE_H */
