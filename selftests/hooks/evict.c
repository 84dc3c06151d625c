// SPDX-License-Identifier: GPL-2.0-only
/*
 * Evictions from LRU maps: each is reported once, before the operation that caused it
 * is over, with the key and the value that the map has lost.
 */
#include "evict_test.h"

FIXTURE(evict)
{
	struct lru lru;
};

FIXTURE_VARIANT(evict)
{
	struct map_kind kind;
};

FIXTURE_VARIANT_ADD(evict, lru_hash) { .kind = { BPF_MAP_TYPE_LRU_HASH } };
FIXTURE_VARIANT_ADD(evict, lru_hash_no_common_lru)
{ .kind = { BPF_MAP_TYPE_LRU_HASH, BPF_F_NO_COMMON_LRU } };
FIXTURE_VARIANT_ADD(evict, lru_percpu_hash)
{ .kind = { BPF_MAP_TYPE_LRU_PERCPU_HASH, .percpu = true } };
FIXTURE_VARIANT_ADD(evict, lru_percpu_hash_no_common_lru)
{ .kind = { BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_F_NO_COMMON_LRU, .percpu = true } };

FIXTURE_SETUP(evict)
{
}

FIXTURE_TEARDOWN(evict)
{
	evict__destroy(self->lru.skel);
}

TEST_F(evict, syscall)
{
	open_map(_metadata, &self->lru, &variant->kind, 512);
	for (__u32 key = 0; key < EVICT_KEYS; key++) {
		ASSERT_EQ(0, put(&self->lru, key, BPF_ANY));
		/* Not late: what one operation has evicted was reported by its end. */
		if (key == 600)
			expect_exact(_metadata, &self->lru, 0, key + 1,
				     self->lru.cpus);
	}
	expect_exact(_metadata, &self->lru, 0, EVICT_KEYS,
		     self->lru.cpus);
	EXPECT_LT(EVICT_KEYS - 600, sum(self->lru.skel->bss->evicted));
}

TEST_F(evict, prog)
{
	open_map(_metadata, &self->lru, &variant->kind, 512);
	for (__u32 key = 0; key < EVICT_KEYS; key++) {
		ASSERT_EQ(0, put_from_program(&self->lru, key));
	}
	expect_exact(_metadata, &self->lru, 0, EVICT_KEYS, 1);
	EXPECT_LT(EVICT_KEYS - 600, sum(self->lru.skel->bss->evicted));
}

/* Another CPU's only element is stolen, unless each CPU has a list of its own. */
TEST_F(evict, stolen)
{
	bool own = variant->kind.flags & BPF_F_NO_COMMON_LRU;

	open_map(_metadata, &self->lru, &variant->kind, 1);
	ASSERT_EQ(0, put(&self->lru, 1, BPF_ANY));
	ASSERT_EQ(0, use_cpu(1));
	ASSERT_EQ(0, put(&self->lru, 2, BPF_ANY));
	EXPECT_EQ(own, present(&self->lru, 1));
	expect_exact(_metadata, &self->lru, 1, 3, self->lru.cpus);
}

/*
 * The key and the value are not free for another element yet. What the program adds
 * evicts others, of which it learns nothing while it runs.
 */
TEST_F(evict, before_its_memory_is_used_again)
{
	__u32 seen = 0;

	open_map(_metadata, &self->lru, &variant->kind, 512);
	self->lru.skel->bss->add_another = true;
	for (__u32 key = 0; key < 2000; key++)
		ASSERT_EQ(0, put(&self->lru, key, BPF_ANY));
	for (__u32 key = 0; key < 2000; key++) {
		if (!self->lru.skel->bss->evicted[key])
			continue;
		seen++;
		EXPECT_EQ(1, self->lru.skel->bss->evicted[key]);
		for (int cpu = 0; cpu < self->lru.cpus; cpu++)
			EXPECT_EQ(value_of(key, cpu),
				  self->lru.skel->bss->evicted_value[key][cpu]);
	}
	EXPECT_LT(500, seen);
	EXPECT_EQ(0, self->lru.skel->bss->not_added) TH_LOG("updates by the program");
	EXPECT_EQ(0, self->lru.skel->bss->other_keys);
}

/* What was deleted is not evicted afterwards, though its node is used again. */
TEST_F(evict, deleted)
{
	open_map(_metadata, &self->lru, &variant->kind, 64);
	for (__u32 key = 0; key < 1000; key++) {
		ASSERT_EQ(0, put(&self->lru, key, BPF_ANY));
		if (key % 3) {
			ASSERT_EQ(0, bpf_map_delete_elem(self->lru.fd, &key));
		}
	}
	for (__u32 key = 0; key < 1000; key++) {
		EXPECT_EQ(!!(key % 3), self->lru.skel->bss->deleted[key]);
		EXPECT_EQ(!(key % 3) && !present(&self->lru, key),
			  self->lru.skel->bss->evicted[key]) TH_LOG("key %u", key);
	}
	EXPECT_LT(200, sum(self->lru.skel->bss->evicted));
}

/* An element can be evicted by its own update, even by one that then fails. */
TEST_F(evict, by_its_own_update)
{
	int err;

	open_map(_metadata, &self->lru, &variant->kind, 1);
	ASSERT_EQ(0, put(&self->lru, 1, BPF_ANY));
	ASSERT_EQ(0, use_cpu(0));
	err = put(&self->lru, 1, BPF_NOEXIST);
	EXPECT_EQ(0, err) TH_LOG("the old element was evicted first");
	EXPECT_EQ(1, self->lru.skel->bss->evicted[1]);
	EXPECT_EQ(2, self->lru.skel->bss->updated[1]);
	EXPECT_TRUE(present(&self->lru, 1));
}

/* No lock is held: a deadlock would be reported to the program that changes the map. */
TEST_F(evict, change_again)
{
	open_map(_metadata, &self->lru, &variant->kind, 64);
	self->lru.skel->bss->change_again = true;
	for (__u32 key = 0; key < 1000; key++) {
		ASSERT_EQ(0, put(&self->lru, key, BPF_ANY));
		if (self->lru.skel->bss->evicted[0]) {
			ASSERT_EQ(-ENOENT, self->lru.skel->bss->again);
		}
	}
	expect_exact(_metadata, &self->lru, 0, 1000,
		     self->lru.cpus);
}

TEST_HARNESS_MAIN
