// SPDX-License-Identifier: GPL-2.0-only
/* The proof at the end of an upgrade finds what is wrong with the new map. */
#include <stdlib.h>
#include <bpf/btf.h>
#include "cpu.h"
#include "upgrade_small.h"

TEST_F(small, moves)
{
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	for (__u32 key = 1; key <= ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
	EXPECT_EQ(1, self->held);
	EXPECT_EQ(2, self->released);
	EXPECT_EQ(UPGRADE_SWITCHED, self->first);
	EXPECT_EQ(UPGRADE_DONE, self->phase);
}

/* Spoil the new map once it counts as complete. */
static void spoil(FIXTURE_DATA(small) *self)
{
	delete_new(self, 1);
	set_new(self, 2, 99);
	set_new(self, 3, 98);
	set_new(self, 4, 40);
}

static void delete_last(FIXTURE_DATA(small) *self)
{
	delete_old(self, 4);
}

/* The proof says what is wrong, and what is left to do can be done again. */
TEST_F_TIMEOUT(small, proof_fails, SECONDS)
{
	struct upgrade_report *r = &self->report;

	self->on_detach = delete_last;
	self->on_settled = spoil;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(UPGRADE_SWITCHED, r->phase);
	EXPECT_EQ(1, r->missing);
	EXPECT_EQ(2, r->stale);
	EXPECT_EQ(1, r->resurrected);
	EXPECT_EQ(10, read_new(self, 1)) TH_LOG("it must still be read from the old map");

	EXPECT_EQ(0, resume(self)) TH_LOG("%s", r->error);
	EXPECT_EQ(UPGRADE_DONE, r->phase);
	for (__u32 key = 1; key < ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
	EXPECT_EQ(0, get_new(self, 4, 0));
}

/* Who has the lock of each key: a CPU, plus 1, or nobody. */
static int set_holders(FIXTURE_DATA(small) *self, __u32 holder)
{
	struct bpf_map *map = bpf_object__find_map_by_name(self->skel->obj, ".bss.upgrade");
	const struct btf *btf = bpf_object__btf(self->skel->obj);
	int id = btf__find_by_name_kind(btf, ".bss.upgrade", BTF_KIND_DATASEC);
	const struct btf_type *section = btf__type_by_id(btf, id);
	const struct btf_var_secinfo *var = btf_var_secinfos(section);
	char *data = calloc(1, bpf_map__value_size(map));
	int found = 0, fd = bpf_map__fd(map);
	__u32 zero = 0;

	bpf_map_lookup_elem(fd, &zero, data);
	for (int i = 0; i < btf_vlen(section); i++, var++) {
		const struct btf_type *type = btf__type_by_id(btf, var->type);

		if (strcmp(btf__name_by_offset(btf, type->name_off), "upgrade_stripes"))
			continue;
		for (; found < UPGRADE_STRIPES; found++)
			*(__u32 *)(data + var->offset + found * (var->size / UPGRADE_STRIPES)) =
				holder;
	}
	if (bpf_map_update_elem(fd, &zero, data, BPF_ANY))
		found = 0;
	free(data);
	return found;
}

/* As if this CPU had interrupted who has them: then nobody waits for them. */
static void take_all_locks(FIXTURE_DATA(small) *self)
{
	use_cpu(0);
	self->found = set_holders(self, 1);
}

/* What could not be looked at is not proved. */
TEST_F_TIMEOUT(small, locks_that_cannot_be_taken, SECONDS)
{
	self->on_settled = take_all_locks;
	EXPECT_EQ(-EUCLEAN, run(self));
	ASSERT_EQ(UPGRADE_STRIPES, self->found);
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	EXPECT_NE(NULL, strstr(self->report.error, "8 not compared"))
		TH_LOG("%s", self->report.error);

	set_holders(self, 0);
	EXPECT_EQ(-EUCLEAN, upgrade_resume(self->upgrade, &self->report));
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(8, self->report.lock_failures);
	for (__u32 key = 1; key <= ENTRIES; key++)
		EXPECT_EQ(10 * key, get_new(self, key, 0));
}

static void change_late(FIXTURE_DATA(small) *self)
{
	set_old(self, 1, 11);
}

/* A writer that was not held, nor kept out: its change is carried over. */
TEST_F(small, change_during_the_proof)
{
	self->on_settled = change_late;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->report.stragglers);
	EXPECT_EQ(11, get_new(self, 1, 0));
}

TEST_HARNESS_MAIN
