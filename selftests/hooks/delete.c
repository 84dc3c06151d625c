// SPDX-License-Identifier: GPL-2.0-only
/* Deletions of one element, with and without a lookup. */
#include "expect.h"

FIXTURE(delete)
{
	struct traced t;
	struct values old;
};

FIXTURE_VARIANT(delete)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(delete);

FIXTURE_SETUP(delete)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FENTRY));
	self->old = make_values(2, 1);
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	traced_forget(&self->t);
}

FIXTURE_TEARDOWN(delete)
{
	traced_close(&self->t);
}

static int lookup_and_delete(struct traced *t, __u32 key, __u64 flags,
			     struct values *values)
{
	char buffer[MAX_CPUS * VALUE_STRIDE] = {};
	int err = bpf_map_lookup_and_delete_elem_flags(t->fd, &key, buffer,
						       flags);

	for (int cpu = 0; cpu < (t->kind->percpu ? t->nr_cpus : 1); cpu++)
		memcpy(&values->on[cpu], buffer + cpu * VALUE_STRIDE,
		       sizeof(values->on[cpu]));
	return err;
}

/* Expect one report, made when key 2 still existed, or any other key did not. */
static void expect_deletion(struct __test_metadata *_metadata,
			    FIXTURE_DATA(delete) *self, __u32 key)
{
	expect_reports(_metadata, &self->t, 1);
	expect_reported(_metadata, &self->t, HOOK_DELETE, key, 0, NULL,
			key == 2 ? &self->old : NULL, 1);
	expect_content(_metadata, &self->t, key, NULL);
}

/* Arrays do not support the operation: nothing happens, nothing is reported. */
static void expect_nothing(struct __test_metadata *_metadata,
			   FIXTURE_DATA(delete) *self)
{
	expect_reports(_metadata, &self->t, 0);
	expect_content(_metadata, &self->t, 2, &self->old);
}

static void delete(struct __test_metadata *_metadata,
		   FIXTURE_DATA(delete) *self, enum from from, __u32 key)
{
	int err = traced_delete(&self->t, from, key);

	if (self->t.kind->array) {
		EXPECT_EQ(-EINVAL, err);
		expect_nothing(_metadata, self);
		return;
	}
	EXPECT_EQ(key == 2 ? 0 : -ENOENT, err);
	expect_deletion(_metadata, self, key);
}

TEST_F(delete, syscall_existing)
{
	delete(_metadata, self, FROM_SYSCALL, 2);
}

TEST_F(delete, prog_existing)
{
	delete(_metadata, self, FROM_PROG, 2);
}

TEST_F(delete, syscall_missing)
{
	delete(_metadata, self, FROM_SYSCALL, 3);
}

TEST_F(delete, prog_missing)
{
	delete(_metadata, self, FROM_PROG, 3);
}

TEST_F(delete, lookup_and_delete_existing)
{
	struct values seen = {};
	int err = lookup_and_delete(&self->t, 2, 0, &seen);

	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_nothing(_metadata, self);
		return;
	}
	EXPECT_EQ(0, err);
	EXPECT_EQ(0, memcmp(&seen, &self->old, sizeof(seen.on[0]) *
			    (variant->kind.percpu ? self->t.nr_cpus : 1)));
	expect_deletion(_metadata, self, 2);
}

TEST_F(delete, lookup_and_delete_missing)
{
	struct values seen;
	int err = lookup_and_delete(&self->t, 3, 0, &seen);

	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_nothing(_metadata, self);
		return;
	}
	EXPECT_EQ(-ENOENT, err);
	expect_deletion(_metadata, self, 3);
}

TEST_F(delete, lookup_and_delete_invalid)
{
	struct values seen;

	EXPECT_EQ(-EINVAL, lookup_and_delete(&self->t, 2, BPF_F_LOCK, &seen));
	EXPECT_EQ(-EINVAL, lookup_and_delete(&self->t, 2, BPF_F_CPU, &seen));
	expect_nothing(_metadata, self);
}

TEST_HARNESS_MAIN
