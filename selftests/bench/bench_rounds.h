/* SPDX-License-Identifier: GPL-2.0-only */
/* The rounds of the benchmark: an operation for each key of a map, ROUNDS times. */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdbool.h>
#include <linux/types.h>
#include "bench.h"
#include "bench.skel.h"

/* A round is shorter than the timer tick, so most rounds are not hit by one. */
#define ROUNDS 31

/* An update that evicts, on average, one element: the map is full. */
enum op { UPDATE, DELETE, EVICT, OPS };
enum path { PROGRAM, SYSCALL };

/* A loaded and filled map, and what is done to it. */
struct target {
	struct bench *skel;
	enum op op;
	enum path path;
	bool iterate;		/* compare it with its copy instead */
};

/* Print an error about what die_about names, and exit with status 1. */
extern char die_about[96];
void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...);

/* "instructions" or "nanoseconds"; die() if instructions are not counted. */
void choose_clock(const char *unit);

/* One round, not measured. */
void operate_once(const struct target *t);

/* The cost of an operation in ROUNDS rounds, without that of the loop around it. */
double measure(const struct target *t);

#endif /* BENCH_ROUNDS_H */
