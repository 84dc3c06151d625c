/* SPDX-License-Identifier: GPL-2.0-only */
/* A map whose reports are counted, for the tests of what is not reported. */
#ifndef SILENT_H
#define SILENT_H

#include "hook_test.h"
#include "silent.skel.h"

struct watched {
	struct silent *skel;
	int fd;
};

static inline void watch_stored(struct __test_metadata *_metadata,
				struct watched *w,
				const struct map_kind *kind)
{
	w->skel = silent__open();
	ASSERT_NE(NULL, w->skel);
	bpf_program__set_autoattach(w->skel->progs.store_by_iterator, false);
	bpf_map__set_type(w->skel->maps.stored, kind->type);
	bpf_map__set_map_flags(w->skel->maps.stored, kind->flags);
	ASSERT_EQ(0, silent__load(w->skel));
	w->fd = bpf_map__fd(w->skel->maps.stored);
	w->skel->bss->watched_id = id_of(w->fd);
	ASSERT_EQ(0, silent__attach(w->skel));
}

static inline void expect_counts(struct __test_metadata *_metadata,
				 struct watched *w, __u64 updates,
				 __u64 deletions)
{
	EXPECT_EQ(updates, w->skel->bss->updates);
	EXPECT_EQ(deletions, w->skel->bss->deletions);
}

#endif /* SILENT_H */
