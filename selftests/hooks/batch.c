// SPDX-License-Identifier: GPL-2.0-only
/* Batches: each element is reported once, as if it were changed alone. */
#include "expect.h"

#define COUNT 4

FIXTURE(batch)
{
	struct traced t;
	__u32 keys[MAX_ENTRIES];
	char values[MAX_ENTRIES * MAX_CPUS * VALUE_STRIDE];
	struct values zero;
};

FIXTURE_VARIANT(batch)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(batch);

FIXTURE_SETUP(batch)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FENTRY));
	for (__u32 key = 0; key < COUNT; key++)
		self->keys[key] = key;
}

FIXTURE_TEARDOWN(batch)
{
	traced_close(&self->t);
}

static void fill(struct __test_metadata *_metadata, FIXTURE_DATA(batch) *self)
{
	struct values values;

	for (__u32 key = 0; key < COUNT; key++) {
		values = make_values(key, 1);
		ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, key, &values, 0));
	}
	traced_forget(&self->t);
}

/* Update COUNT elements in one batch; the reports may come in any order. */
static void update(struct __test_metadata *_metadata, FIXTURE_DATA(batch) *self,
		   __u64 flags, __u32 generation,
		   struct values (*now)(__u32 key, __u32 generation))
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	bool one = !self->t.kind->percpu ||
		   (flags & (BPF_F_CPU | BPF_F_ALL_CPUS));
	__u32 count = COUNT, n = one ? 1 : self->t.nr_cpus;
	/* A batch of single values is not padded, one with values for all CPUs is. */
	__u32 stride = one ? sizeof(struct elem_value) : VALUE_STRIDE;
	struct values values, old, content;

	for (__u32 key = 0; key < COUNT; key++) {
		values = make_values(key, generation);
		for (__u32 cpu = 0; cpu < n; cpu++)
			memcpy(self->values + (key * n + cpu) * stride,
			       &values.on[cpu], sizeof(values.on[cpu]));
	}
	EXPECT_EQ(0, bpf_map_update_batch(self->t.fd, self->keys, self->values,
					  &count, &opts));
	EXPECT_EQ(COUNT, count);
	expect_reports(_metadata, &self->t, COUNT);
	for (__u32 key = 0; key < COUNT; key++) {
		values = make_values(key, generation);
		old = make_values(key, 1);
		content = now(key, generation);
		expect_reported(_metadata, &self->t, HOOK_UPDATE, key, flags,
				&values, &old, -1);
		expect_content(_metadata, &self->t, key, &content);
	}
}

TEST_F(batch, update)
{
	fill(_metadata, self);
	update(_metadata, self, BPF_ANY, 2, make_values);
}

TEST_F(batch, update_all_cpus)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_F_ALL_CPUS);
	__u32 count = COUNT;

	fill(_metadata, self);
	if (variant->kind.percpu) {
		update(_metadata, self, BPF_F_ALL_CPUS, 2, same_on_all);
		return;
	}
	EXPECT_EQ(-EINVAL, bpf_map_update_batch(self->t.fd, self->keys,
						self->values, &count, &opts));
	expect_reports(_metadata, &self->t, 0);
}

TEST_F(batch, delete)
{
	struct values old;
	__u32 count = COUNT;
	int err;

	fill(_metadata, self);
	err = bpf_map_delete_batch(self->t.fd, self->keys, &count, NULL);
	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_reports(_metadata, &self->t, 0);
		return;
	}
	EXPECT_EQ(0, err);
	EXPECT_EQ(COUNT, count);
	expect_reports(_metadata, &self->t, COUNT);
	for (__u32 key = 0; key < COUNT; key++) {
		old = make_values(key, 1);
		expect_reported(_metadata, &self->t, HOOK_DELETE, key, 0, NULL,
				&old, COUNT - key);
		expect_content(_metadata, &self->t, key, NULL);
	}
}

/*
 * A resizable hash reports an element before it deletes it. It shrinks meanwhile, so
 * that a batch can end early, and elements can be left out or come twice.
 */
static void lookup_and_delete_rhash(struct __test_metadata *_metadata,
				    FIXTURE_DATA(batch) *self)
{
	const struct event *events = self->t.skel->bss->events;
	__u32 cursor, next, seen[MAX_ENTRIES], count, total = 0, reported = 0;
	bool again = false;
	int err;

	while (!bpf_map_get_next_key(self->t.fd, NULL, &next)) {
		count = MAX_ENTRIES;
		err = bpf_map_lookup_and_delete_batch(self->t.fd,
						      again ? &cursor : NULL,
						      &cursor, seen, self->values,
						      &count, NULL);
		ASSERT_TRUE(!err || err == -ENOENT || err == -EAGAIN);
		again = !err;
		if (err != -EAGAIN)
			total += count;
	}
	EXPECT_LE(COUNT, total);
	expect_reports(_metadata, &self->t, total);
	for (__u32 i = 0; i < total; i++) {
		ASSERT_GT(COUNT, events[i].key);
		EXPECT_EQ(HOOK_DELETE, events[i].hook);
		if (!(reported & 1u << events[i].key))
			EXPECT_EQ(1, events[i].found);
		reported |= 1u << events[i].key;
	}
	EXPECT_EQ((1u << COUNT) - 1, reported);
}

/*
 * The documented exception: an element is reported after it is unlinked, so a
 * lookup does not find it, but before it is freed, so it still counts.
 */
TEST_F(batch, lookup_and_delete)
{
	__u32 cursor, seen[MAX_ENTRIES], count = MAX_ENTRIES;
	const struct event *events = self->t.skel->bss->events;
	int err;

	fill(_metadata, self);
	if (variant->kind.type == BPF_MAP_TYPE_RHASH) {
		lookup_and_delete_rhash(_metadata, self);
		return;
	}
	err = bpf_map_lookup_and_delete_batch(self->t.fd, NULL, &cursor, seen,
					      self->values, &count, NULL);
	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_reports(_metadata, &self->t, 0);
		return;
	}
	EXPECT_EQ(-ENOENT, err) TH_LOG("the end of the map was not reached");
	EXPECT_EQ(COUNT, count);
	expect_reports(_metadata, &self->t, COUNT);
	for (__u32 key = 0; key < COUNT; key++) {
		expect_reported(_metadata, &self->t, HOOK_DELETE, key, 0, NULL,
				NULL, -1);
		expect_content(_metadata, &self->t, key, NULL);
	}
	for (__u32 i = 0; i < self->t.skel->bss->n_events; i++) {
		EXPECT_EQ(COUNT - i, events[i].elem_count)
			TH_LOG("report %u: was its element already freed?", i);
	}
}

/* A batch that fails early reports what it tried, and nothing after that. */
TEST_F(batch, update_stops_at_failure)
{
	__u32 keys[] = { 0, 1, 99, 2 }, count = COUNT;
	bool fails = !variant->kind.lru;
	struct values values;

	/* Fill the map, so that a new key fails; an LRU map evicts to make room. */
	for (__u32 key = 0; key < MAX_ENTRIES; key++) {
		values = make_values(key, 1);
		ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, key, &values, 0));
	}
	traced_forget(&self->t);
	EXPECT_EQ(fails ? -E2BIG : 0,
		  bpf_map_update_batch(self->t.fd, keys, self->values, &count,
				       NULL));
	EXPECT_EQ(fails ? 2 : COUNT, count);
	/* An index beyond the end is invalid; a full hash fails after the report. */
	expect_reports(_metadata, &self->t, variant->kind.array ? 2 :
		       variant->kind.lru ? COUNT : 3);
}

TEST_F(batch, update_invalid)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_NOEXIST);
	__u32 count = COUNT;

	fill(_metadata, self);
	EXPECT_EQ(-EINVAL, bpf_map_update_batch(self->t.fd, self->keys,
						self->values, &count, &opts));
	expect_reports(_metadata, &self->t, 0);
}

TEST_HARNESS_MAIN
