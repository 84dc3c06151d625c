// SPDX-License-Identifier: GPL-2.0-only
/*
 * Full LRU maps on both sides: an eviction does not fail the upgrade. The new map
 * holds as many elements as README.md promises, all of them right, and all that the
 * new version wrote.
 */
#include "upgrade_small.h"

#define FULL 2000		/* elements that both maps can hold */
#define OTHERS 1000000		/* keys that the new version writes */
#define WRITES 100

/* Start over with maps of this kind, of which the old one is full. */
static int use_lru(FIXTURE_DATA(small) *self, __u32 flags, __u32 new_size)
{
	LIBBPF_OPTS(bpf_map_create_opts, create, .map_flags = flags);
	int err;

	close_new(self);
	close(self->old);
	self->old = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "old_map", 4, 8, FULL, &create);
	for (__u32 key = 1; key <= 2 * FULL; key++)
		if (set_old(self, key, 10 * key))
			return -1;
	self->opts.old_map_fd = self->old;
	self->skel = upgrade_small__open();
	bpf_map__set_type(self->skel->maps.old_map, BPF_MAP_TYPE_LRU_HASH);
	bpf_map__set_type(self->skel->maps.new_map, BPF_MAP_TYPE_LRU_HASH);
	bpf_map__set_map_flags(self->skel->maps.old_map, flags);
	bpf_map__set_map_flags(self->skel->maps.new_map, flags);
	bpf_map__set_max_entries(self->skel->maps.new_map, new_size);
	err = open_upgrade(self->skel->obj, &self->opts, &self->upgrade) ?:
	      upgrade_small__load(self->skel);
	self->new = bpf_map__fd(self->skel->maps.new_map);
	return err;
}

/* What it asks for is copied, even if that evicts something else. */
static void read_all(FIXTURE_DATA(small) *self)
{
	__u64 value;

	for (__u32 key = 1; key <= 2 * FULL; key++)
		if (!bpf_map_lookup_elem(self->old, &key, &value) && read_new(self, key) != value)
			self->result[0]++;
}

static void read_and_write(FIXTURE_DATA(small) *self)
{
	read_all(self);
	for (__u32 i = 0; i < WRITES; i++)
		self->found += !run_op(self, WIDE_UPDATE, OTHERS + i, 0, i + 1);
}

/* How many elements are there of those that the old map could have had? */
static __u32 count(struct __test_metadata *_metadata, FIXTURE_DATA(small) *small)
{
	__u32 found = 0;

	for (__u32 key = 1; key <= 2 * FULL; key++) {
		__u64 value = get_new(small, key, 0);

		EXPECT_TRUE(!value || value == 10 * key) TH_LOG("key %u: %llu", key, value);
		found += !!value;
	}
	return found;
}

static void upgrade_full(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self,
			 __u32 flags, __u32 size, __u32 promised)
{
	struct upgrade_report *r = &self->report;
	__u32 found;

	/* Each CPU has free elements of its own: what is evicted depends on where this runs. */
	ASSERT_EQ(0, use_cpu(0));
	ASSERT_EQ(0, use_lru(self, flags, size));
	self->on_detach = read_and_write;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", r->error);
	EXPECT_EQ(0, self->result[0]) TH_LOG("elements that the new version did not find");
	EXPECT_EQ(WRITES, self->found);
	for (__u32 i = 0; i < WRITES; i++)
		EXPECT_EQ(i + 1, get_new(self, OTHERS + i, 0));
	found = count(_metadata, self);
	EXPECT_LE(promised, found + WRITES);
	EXPECT_EQ(r->keys, found + r->evicted);
	EXPECT_LT(0, r->evicted);
	printf("# old map %llu elements, new map %u of %u, %u promised, %llu evicted\n",
	       r->keys, found + WRITES, size, promised, r->evicted);
}

TEST_F_TIMEOUT(small, lru_of_the_same_size, SECONDS)
{
	upgrade_full(_metadata, self, 0, FULL, FULL - 128 * libbpf_num_possible_cpus());
}

TEST_F_TIMEOUT(small, lru_that_is_smaller, SECONDS)
{
	upgrade_full(_metadata, self, 0, FULL / 2,
		     FULL / 2 - 128 * libbpf_num_possible_cpus());
}

TEST_F_TIMEOUT(small, lru_for_each_cpu, SECONDS)
{
	upgrade_full(_metadata, self, BPF_F_NO_COMMON_LRU, FULL,
		     FULL / libbpf_num_possible_cpus());
}

TEST_HARNESS_MAIN
