/* SPDX-License-Identifier: GPL-2.0-only */
/* Maps for the benchmark, and the program attached to their changes. */
#ifndef BENCH_ATTACH_H
#define BENCH_ATTACH_H

#include "bench_rounds.h"

enum via { NOTHING, FENTRY, FENTRY_MULTI, FMOD_RET, KPROBE };

/* A map type, and its functions for an [operation] by a [path]. */
struct kind {
	const char *name;
	__u32 type;
	const char *function[OPS][2];
};

struct setup {
	const char *name;
	enum via via;
	bool map_function;	/* attached to that instead of the hook */
	bool after;		/* attached to the hook after the operation */
	bool hit;		/* the program counts the changes of this map */
	bool iterate;
};

/* A setup for one map type, operation and path. */
struct row {
	const struct setup *setup;
	const struct kind *kind;
	struct target target;
	struct bpf_program *watch;	/* what is attached, or NULL */
	struct bpf_link *link;
};

/* Load, fill and attach; false if there is nothing to attach to. */
bool row_open(struct row *r);
void row_close(struct row *r);

/*
 * Does the program run once for each operation? False if it is skipped: while a
 * system call changes a map, the kernel runs no kprobe program.
 */
bool row_check_before(const struct row *r);

/* After the rounds: everything ran as often as it should, no element is gone. */
void row_check_after(const struct row *r);

#endif /* BENCH_ATTACH_H */
