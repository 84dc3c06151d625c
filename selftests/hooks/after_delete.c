// SPDX-License-Identifier: GPL-2.0-only
/* The after-hook of deletions, which hands out the old value; and batches. */
#include <unistd.h>
#include "after_test.h"

#define COUNT 4

FIXTURE(after_delete)
{
	struct traced t;
	struct after *skel;
	struct values old[COUNT];
};

FIXTURE_VARIANT(after_delete)
{
	struct map_kind kind;
};

/* Arrays have no deletions. */
TRACED_KIND_VARIANTS(after_delete);

FIXTURE_SETUP(after_delete)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FMOD_RET));
	for (__u32 key = 0; key < COUNT; key++) {
		self->old[key] = make_values(key, 1);
		ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, key, &self->old[key],
					0));
	}
	self->skel = after_open(_metadata, &self->t);
}

FIXTURE_TEARDOWN(after_delete)
{
	after__destroy(self->skel);
	traced_close(&self->t);
}

static void expect_deleted(struct __test_metadata *_metadata,
			   FIXTURE_DATA(after_delete) *self, __u32 key)
{
	expect_after(_metadata, &self->t, self->skel, HOOK_DELETED, key, 0,
		     &self->old[key], NULL);
}

static void delete(struct __test_metadata *_metadata, FIXTURE_DATA(after_delete) *self,
		   enum from from)
{
	if (self->t.kind->array) {
		EXPECT_EQ(-EINVAL, traced_delete(&self->t, from, 2));
		expect_after_count(_metadata, self->skel, 0);
		return;
	}
	EXPECT_EQ(0, traced_delete(&self->t, from, 2));
	expect_after_count(_metadata, self->skel, 1);
	expect_deleted(_metadata, self, 2);
	EXPECT_EQ(-ENOENT, traced_delete(&self->t, from, 2));
	expect_after_count(_metadata, self->skel, 1);
}

TEST_F(after_delete, syscall)
{
	delete(_metadata, self, FROM_SYSCALL);
}

TEST_F(after_delete, prog)
{
	delete(_metadata, self, FROM_PROG);
}

/* The key and the value are not free for another element yet. */
TEST_F(after_delete, before_its_memory_is_used_again)
{
	self->skel->bss->add_another = true;
	if (variant->kind.array) {
		EXPECT_EQ(-EINVAL, traced_delete(&self->t, FROM_SYSCALL, 2));
		return;
	}
	EXPECT_EQ(0, traced_delete(&self->t, FROM_SYSCALL, 2));
	expect_after_count(_metadata, self->skel, 2);
	expect_deleted(_metadata, self, 2);
}

TEST_F(after_delete, stopped)
{
	self->t.skel->bss->veto_delete = -EACCES;
	EXPECT_EQ(variant->kind.array ? -EINVAL : -EACCES,
		  traced_delete(&self->t, FROM_SYSCALL, 2));
	expect_after_count(_metadata, self->skel, 0);
}

TEST_F(after_delete, lookup_and_delete)
{
	char value[MAX_CPUS * VALUE_STRIDE];
	__u32 key = 2, missing = 100;

	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL,
			  bpf_map_lookup_and_delete_elem(self->t.fd, &key, value));
		expect_after_count(_metadata, self->skel, 0);
		return;
	}
	EXPECT_EQ(0, bpf_map_lookup_and_delete_elem(self->t.fd, &key, value));
	EXPECT_EQ(-ENOENT, bpf_map_lookup_and_delete_elem(self->t.fd, &missing, value));
	expect_after_count(_metadata, self->skel, 1);
	expect_deleted(_metadata, self, 2);
}

TEST_F(after_delete, delete_batch)
{
	__u32 keys[COUNT] = { 0, 1, 2, 3 }, count = COUNT;

	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL,
			  bpf_map_delete_batch(self->t.fd, keys, &count, NULL));
		expect_after_count(_metadata, self->skel, 0);
		return;
	}
	EXPECT_EQ(0, bpf_map_delete_batch(self->t.fd, keys, &count, NULL));
	expect_after_count(_metadata, self->skel, COUNT);
	for (__u32 key = 0; key < COUNT; key++)
		expect_deleted(_metadata, self, key);
}

TEST_F(after_delete, lookup_and_delete_batch)
{
	char values[MAX_ENTRIES * MAX_CPUS * VALUE_STRIDE];
	__u32 keys[MAX_ENTRIES], count = MAX_ENTRIES, cursor;
	int err = bpf_map_lookup_and_delete_batch(self->t.fd, NULL, &cursor, keys,
						  values, &count, NULL);

	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_after_count(_metadata, self->skel, 0);
		return;
	}
	EXPECT_EQ(-ENOENT, err);	/* that was all of them */
	EXPECT_EQ(COUNT, count);
	expect_after_count(_metadata, self->skel, COUNT);
	for (__u32 key = 0; key < COUNT; key++)
		expect_deleted(_metadata, self, key);
}

TEST_F(after_delete, update_batch)
{
	char values[COUNT * MAX_CPUS * VALUE_STRIDE] = {};
	__u32 stride = variant->kind.percpu ? VALUE_STRIDE : sizeof(struct elem_value);
	__u32 keys[COUNT] = { 0, 1, 2, 3 }, count = COUNT;
	__u32 n = variant->kind.percpu ? self->t.nr_cpus : 1;
	struct values new;

	for (__u32 key = 0; key < COUNT; key++) {
		new = make_values(key, 2);
		for (__u32 cpu = 0; cpu < n; cpu++)
			memcpy(values + (key * n + cpu) * stride, &new.on[cpu],
			       sizeof(new.on[cpu]));
	}
	EXPECT_EQ(0, bpf_map_update_batch(self->t.fd, keys, values, &count, NULL));
	expect_after_count(_metadata, self->skel, COUNT);
	for (__u32 key = 0; key < COUNT; key++) {
		new = make_values(key, 2);
		expect_after(_metadata, &self->t, self->skel, HOOK_UPDATED, key, 0, &new,
			     &new);
	}
}

/* A hash of maps shares code with the hash maps, but is not traced. */
TEST(hash_of_maps)
{
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "inner", 4, 8, 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH_OF_MAPS, "outer", 4, 4, 4, &opts);
	__u32 key = 1, count = 4, cursor, keys[4], values[4];
	struct after *skel = after__open_and_load();

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, skel);
	skel->bss->target_id = id_of(fd);
	ASSERT_NE(0, skel->bss->target_id);
	ASSERT_EQ(0, after__attach(skel));
	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &inner, BPF_ANY));
	EXPECT_EQ(0, bpf_map_delete_elem(fd, &key));
	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &inner, BPF_ANY));
	EXPECT_EQ(-ENOENT, bpf_map_lookup_and_delete_batch(fd, NULL, &cursor, keys,
							   values, &count, NULL));
	EXPECT_EQ(1, count);
	expect_after_count(_metadata, skel, 0);
	after__destroy(skel);
	close(fd);
	close(inner);
}

TEST_HARNESS_MAIN
