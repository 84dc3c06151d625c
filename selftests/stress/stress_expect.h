/* SPDX-License-Identifier: GPL-2.0-only */
/* What must hold after the load, and what is printed about it. */
#ifndef STRESS_EXPECT_H
#define STRESS_EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bpf_harness.h"
#include "stress_actors.h"
#include "stress_seconds.h"

/* The NMIs that all CPUs have had. */
static inline unsigned long nmis(void)
{
	unsigned long sum = 0, n;
	FILE *file = fopen("/proc/interrupts", "r");
	char line[1024], *at, *end;

	while (file && fgets(line, sizeof(line), file)) {
		at = strstr(line, "NMI:");
		for (at = at ? at + 4 : ""; (n = strtoul(at, &end, 10)), end != at; at = end)
			sum += n;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Let the actors change the map for load_seconds(). */
static inline void under_load(struct __test_metadata *_metadata, struct actors *s)
{
	double seconds = load_seconds();
	struct timespec load = { seconds, 1e9 * (seconds - (long)seconds) };

	ASSERT_EQ(0, actors_start(s)) TH_LOG("%s", s->failed);
	nanosleep(&load, NULL);
	ASSERT_TRUE(actors_stop(s)) TH_LOG("a timer goes on");
	ASSERT_EQ(0, s->error) TH_LOG("%s: %s", s->failed, strerror(-s->error));
}

static inline void expect_all(struct __test_metadata *_metadata, struct stress *skel,
		       enum stress_hook hook, struct bpf_program *observer)
{
	static const char *const paths[] = {
		"unknown", "single", "lock", "lookup_and_delete", "batch",
		"lookup_and_delete_batch", "invalid", "small", "prog", "for_each", "nested",
		"timer", "perf",
	};
	const char *name = hook == HOOK_UPDATE ? "update" : "delete";
	__u64 issued = 0, fired = 0, missed = misses(observer), i, f;

	for (int path = 0; path < PATHS; path++) {
		i = skel->bss->issued[hook][path];
		f = skel->bss->fired[hook][path];
		issued += i;
		fired += f;
		if (i || f)
			printf("# %s by %s: issued %llu fired %llu missed %lld\n", name,
			       paths[path], i, f, (__s64)(i - f));
		EXPECT_GE(i, f) TH_LOG("%s by %s: reported too often", name, paths[path]);
	}
	printf("# %s: issued %llu fired %llu missed %llu difference %lld\n", name, issued,
	       fired, missed, (__s64)(issued - fired - missed));
	EXPECT_EQ(issued, fired + missed);
}

/* Expect each path to have been taken, where the map has it. */
static inline void expect_load(struct __test_metadata *_metadata, struct actors *s)
{
	__u64 (*issued)[PATHS] = s->skel->bss->issued;

	for (int path = PATH_SINGLE; path < PATHS; path++) {
		if (path == PATH_INVALID || (path == PATH_LOCK && s->locked < 0) ||
		    (s->array && (path == PATH_LOOKUP_AND_DELETE ||
					path == PATH_LOOKUP_AND_DELETE_BATCH)))
			continue;
		EXPECT_LT(0, issued[HOOK_UPDATE][path] + issued[HOOK_DELETE][path])
			TH_LOG("path %d was not taken", path);
	}
}

#endif /* STRESS_EXPECT_H */
