/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a writer has BPF programs change the map: it fills in its request and calls
 * getpgid() with a magic number. The programs of both versions are attached there.
 * In interrupts, they choose the changes, and note them for the judge.
 */
#ifndef UPGRADE_REQUEST_H
#define UPGRADE_REQUEST_H

#define LOAD_MAGIC 0x10ad0000	/* plus the number of the writer */
#define LOAD_CPUS 4		/* at most */
#define LOAD_THREADS (2 * LOAD_CPUS)
#define LOAD_INTERRUPTS (LOAD_CONTEXTS * LOAD_CPUS)
#define LOAD_WRITERS (LOAD_THREADS + LOAD_INTERRUPTS)
#define LOAD_OPS 16		/* per request */
#define LOAD_CHANGES 4		/* per interrupt */
#define LOAD_KEYS 1024		/* old keys are 0 to LOAD_KEYS - 1 */
#define LOAD_OWN 8		/* bit of keys that belong to a single writer */
#define LOAD_SHIFT 8		/* new key - old key */
#define LOAD_DAWDLE 40000	/* iterations of an empty loop */
#define LOAD_NOT_RUN 1		/* as a result: no version ran the operation */

enum load_kind { LOAD_UPDATE, LOAD_DELETE, LOAD_READ };
enum load_version { LOAD_OLD, LOAD_NEW, LOAD_VERSIONS };
enum load_context { LOAD_HARDIRQ, LOAD_SOFTIRQ, LOAD_NMI, LOAD_CONTEXTS };

struct load_op {
	__u32 kind;
	__u32 key;		/* an old key, whichever version runs */
	__u64 flags;
	__u32 stamp;		/* the value: writer and sequence number */
};

struct load_request {
	__u32 count;
	struct load_op op[LOAD_OPS];
	/* 0 or a negative errno; for LOAD_READ, the stamp found */
	__s64 result[LOAD_VERSIONS][LOAD_OPS];
};

/* A successful change. */
struct load_change {
	__u64 start, end;	/* CLOCK_MONOTONIC; 0: no such change */
	__u32 stamp;
	__u32 new;		/* made by the new version */
};

/* What a CPU has changed in a context: the last changes of each key. */
struct load_interrupt {
	__u32 writer;		/* its number; 0: not to change anything */
	__u32 stop;
	__u32 array;
	__u32 sequence;
	__u64 done[LOAD_VERSIONS], failed;
	struct load_change update[LOAD_KEYS], deletion[LOAD_KEYS];
};

struct old_value {
	__u32 stamp;
};

/* Wider, with a check word: a mix of two values does not match it. */
struct new_value {
	__u64 stamp;
	__u64 check;
};

#define LOAD_CHECK(stamp) ((__u64)(stamp) * 0x9e3779b97f4a7c15ULL)

#endif /* UPGRADE_REQUEST_H */
