// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load of stress.c, but elements are only inserted and deleted: what was inserted
 * and neither deleted nor evicted is there, exactly.
 */
#include "balance.skel.h"
#include "stress_expect.h"
#include "stress_open.h"

FIXTURE(balance)
{
	struct actors *actors;
	struct balance *skel;
};

FIXTURE_VARIANT(balance)
{
	struct map_kind kind;
};

HASH_KIND_VARIANTS(balance);

FIXTURE_SETUP(balance)
{
	self->actors = actors_open(_metadata, &variant->kind, true);
	self->skel = balance__open_and_load();
	ASSERT_NE(NULL, self->skel);
	ASSERT_EQ(0, balance__attach(self->skel));
}

FIXTURE_TEARDOWN(balance)
{
	balance__destroy(self->skel);
	actors_close(self->actors);
}

TEST_F_TIMEOUT(balance, exact, SECONDS + load_seconds())
{
	struct balance *skel = self->skel;
	__u64 values[STRESS_CPUS], inserted, deleted, evicted, present = 0, skipped;

	under_load(_metadata, self->actors);
	for (__u32 key = 0; key < STRESS_KEYS; key++)
		present += !bpf_map_lookup_elem(self->actors->target, &key, values);

	inserted = skel->bss->updates + misses(skel->progs.updated);
	deleted = skel->bss->deletions + misses(skel->progs.deleted);
	evicted = skel->bss->evictions + misses(skel->progs.evicted);
	skipped = inserted + deleted + evicted - skel->bss->updates -
		  skel->bss->deletions - skel->bss->evictions;
	printf("# balance: inserted %llu deleted %llu evicted %llu present %llu "
	       "(skipped reports: %llu)\n", inserted, deleted, evicted, present, skipped);
	EXPECT_EQ(self->actors->skel->bss->inserted, inserted);
	EXPECT_EQ(present, inserted - deleted - evicted);
	EXPECT_LT(0, inserted);
	EXPECT_LT(0, deleted);
	EXPECT_EQ(!variant->kind.lru, !evicted);
}

TEST_HARNESS_MAIN
