/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a writer has BPF programs change the map: it fills in its request and calls
 * getpgid() with a magic number. The programs of both versions are attached there.
 */
#ifndef UPGRADE_REQUEST_H
#define UPGRADE_REQUEST_H

#define LOAD_MAGIC 0x10ad0000	/* plus the number of the writer */
#define LOAD_CPUS 2
#define LOAD_WRITERS 4
#define LOAD_OPS 16		/* per request */
#define LOAD_KEYS 1024		/* old keys are 0 to LOAD_KEYS - 1 */
#define LOAD_SHIFT 8		/* new key - old key */
#define LOAD_DAWDLE 40000	/* iterations of an empty loop */
#define LOAD_NOT_RUN 1		/* as a result: no version ran the operation */

enum load_kind { LOAD_UPDATE, LOAD_DELETE, LOAD_READ };
enum load_version { LOAD_OLD, LOAD_NEW, LOAD_VERSIONS };

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
