/* SPDX-License-Identifier: GPL-2.0-only */
/* Expectations about the recorder's events and the traced map's content. */
#ifndef EXPECT_H
#define EXPECT_H

#include "traced.h"

static inline void expect_values(struct __test_metadata *_metadata,
				 const struct elem_value *expected,
				 const struct elem_value *seen, int n, const char *what)
{
	for (int cpu = 0; cpu < n; cpu++) {
		EXPECT_EQ(0, memcmp(&expected[cpu], &seen[cpu], sizeof(*seen)))
			TH_LOG("%s of CPU %d: expected %u %u %x, seen %u %u %x",
			       what, cpu, expected[cpu].a, expected[cpu].b,
			       expected[cpu].c, seen[cpu].a, seen[cpu].b,
			       seen[cpu].c);
	}
}

static inline void expect_event(struct __test_metadata *_metadata, struct traced *t,
				const struct event *e, __u64 flags,
				const struct values *values, const struct values *old,
				int elem_count)
{
	int all = t->kind->percpu ? t->nr_cpus : 1;

	EXPECT_EQ(t->skel->bss->target_id, e->map_id);
	if (values) {
		EXPECT_EQ(flags, e->map_flags);
		EXPECT_EQ(one_value(t, flags) ? 1 : t->nr_cpus, e->n_values);
		expect_values(_metadata, values->on, e->values, e->n_values,
			      "value given to the hook");
	}
	EXPECT_EQ(!!old, e->found)
		TH_LOG("a lookup in the hook %s the element",
		       e->found ? "found" : "did not find");
	if (old && e->found)
		expect_values(_metadata, old->on, e->old, all,
			      "value found by the hook");
	if (elem_count >= 0 && !t->kind->uncounted) {
		EXPECT_EQ(elem_count, e->elem_count)
			TH_LOG("elements in the map when the hook ran");
	}
}

/*
 * Expect each attached program to have reported this operation once, on this map,
 * at a time when the map held `old` (NULL: no such element). `values` is what the
 * hook must have been given, NULL for a deletion; `elem_count` how many elements
 * the map must have had then, -1 if it does not matter.
 */
static inline void expect_reported(struct __test_metadata *_metadata, struct traced *t,
				   enum hook hook, __u32 key, __u64 flags,
				   const struct values *values, const struct values *old,
				   int elem_count)
{
	static const char *const names[] = { "fentry", "fexit", "fmod_ret" };
	unsigned int seen[VIA_COUNT] = {};
	const struct event *e;
	__u32 n = t->skel->bss->n_events;

	ASSERT_GE(MAX_EVENTS, n);
	for (__u32 i = 0; i < n; i++) {
		e = &t->skel->bss->events[i];
		if (e->hook != hook || e->key != key)
			continue;
		seen[e->via]++;
		expect_event(_metadata, t, e, flags, values, old, elem_count);
	}
	for (int via = 0; via < VIA_COUNT; via++) {
		EXPECT_EQ(!!(t->via & VIA(via)), seen[via])
			TH_LOG("%s of key %u, reports to %s", hook == HOOK_UPDATE ?
			       "update" : "deletion", key, names[via]);
	}
}

/* Expect that many operations to have been reported since traced_forget(). */
static inline void expect_reports(struct __test_metadata *_metadata, struct traced *t,
				  unsigned int operations)
{
	EXPECT_EQ(operations * __builtin_popcount(t->via),
		  t->skel->bss->n_events)
		TH_LOG("reports to %d programs of %u operations",
		       __builtin_popcount(t->via), operations);
}

/* Expect the element to hold these values; NULL: not to exist. */
static inline void expect_content(struct __test_metadata *_metadata, struct traced *t,
				  __u32 key, const struct values *values)
{
	struct values seen;
	int err = traced_get(t, key, &seen);

	EXPECT_EQ(values ? 0 : -ENOENT, err) TH_LOG("lookup of key %u", key);
	if (values && !err)
		expect_values(_metadata, values->on, seen.on,
			      t->kind->percpu ? t->nr_cpus : 1, "value in the map");
}

#endif /* EXPECT_H */
