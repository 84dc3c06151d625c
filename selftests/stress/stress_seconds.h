/* SPDX-License-Identifier: GPL-2.0-only */
/* How long the load of a stress test lasts: STRESS_SECONDS in the environment. */
#ifndef STRESS_SECONDS_H
#define STRESS_SECONDS_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEFAULT_SECONDS 1.0

static inline double load_seconds(void)
{
	const char *text = getenv("STRESS_SECONDS");
	char *end = NULL;
	double seconds = text ? strtod(text, &end) : DEFAULT_SECONDS;

	if (seconds > 0 && (!text || !*end))
		return seconds;
	fprintf(stderr, "STRESS_SECONDS=%s is not a number of seconds\n", text);
	exit(1);
}

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

#endif /* STRESS_SECONDS_H */
