/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs on the after-hooks of a traced map, and expectations about their events. */
#ifndef AFTER_TEST_H
#define AFTER_TEST_H

#include "expect.h"
#include "after.h"
#include "after.skel.h"

/* Record what happens to the traced map from now on. */
static inline struct after *after_open(struct __test_metadata *_metadata,
				       const struct traced *t)
{
	struct after *skel = after__open();

	ASSERT_NE(NULL, skel);
	ASSERT_EQ(0, bpf_map__reuse_fd(skel->maps.target, t->fd));
	skel->rodata->percpu = t->kind->percpu;
	skel->rodata->nr_cpus = t->nr_cpus;
	skel->bss->target_id = t->skel->bss->target_id;
	ASSERT_EQ(0, after__load(skel));
	ASSERT_EQ(0, after__attach(skel));
	return skel;
}

static inline void expect_after_count(struct __test_metadata *_metadata,
				      const struct after *skel, __u32 count)
{
	EXPECT_EQ(count, skel->bss->n_after) TH_LOG("reports of the after-hooks");
}

/*
 * Expect one report of this change, with `values`: those passed by an update with
 * these flags, or those of the deleted element. A lookup in the program must have
 * found `now` (NULL: no such element).
 */
static inline void expect_after(struct __test_metadata *_metadata,
				const struct traced *t, const struct after *skel,
				enum after_hook hook, __u32 key, __u64 flags,
				const struct values *values, const struct values *now)
{
	__u32 all = t->kind->percpu ? t->nr_cpus : 1, seen = 0;
	const struct after_event *e;

	ASSERT_GE(MAX_EVENTS, skel->bss->n_after);
	for (__u32 i = 0; i < skel->bss->n_after; i++) {
		e = &skel->bss->after[i];
		if (e->hook != hook || e->key != key)
			continue;
		seen++;
		EXPECT_EQ(flags, e->map_flags);
		EXPECT_EQ(hook == HOOK_UPDATED && one_value(t, flags) ? 1 : all,
			  e->n_values);
		expect_values(_metadata, values->on, e->values, e->n_values,
			      "value given to the after-hook");
		if (hook == HOOK_DELETED)
			expect_values(_metadata, &values->on[all > 1 ? t->cpu : 0],
				      &e->here, 1, "value here");
		EXPECT_EQ(!!now, e->found)
			TH_LOG("a lookup in the after-hook %s the element",
			       e->found ? "found" : "did not find");
		if (now && e->found)
			expect_values(_metadata, now->on, e->now, all,
				      "value found by the after-hook");
	}
	EXPECT_EQ(1, seen) TH_LOG("%s of key %u, reports to the after-hook",
				  hook == HOOK_UPDATED ? "update" : "deletion", key);
}

#endif /* AFTER_TEST_H */
