/* SPDX-License-Identifier: GPL-2.0-only */
/* The rounds of the bench: an operation for each key of a map, ROUNDS times. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdbool.h>
#include <linux/types.h>
#include "bench.h"
#include "bench.skel.h"

/* A round is shorter than a tick of the timer, so most of them are free of one. */
#define ROUNDS 31

enum op { UPDATE, DELETE };
enum path { PROGRAM, SYSCALL };

/* A loaded map, full of elements, and what is done to it. */
struct target {
	struct bench *skel;
	enum op op;
	enum path path;
	bool iterate;		/* compare it with its copy instead */
};

/* Say what went wrong with what die_about names, and exit with status 1. */
extern char die_about[96];
void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);

/* Instructions or nanoseconds; die() where instructions cannot be counted. */
void choose_clock(const char *unit);

/* A round, unmeasured. */
void operate_once(const struct target *t);

/* ROUNDS rounds: the cost of an operation, without that of the loop around it. */
double measure(const struct target *t);

#endif /* BENCH_ROUNDS_H */
