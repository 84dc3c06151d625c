// SPDX-License-Identifier: GPL-2.0-only
/* An fmod_ret program stops an operation: the map is unchanged, the caller is told. */
#include "expect.h"

FIXTURE(veto)
{
	struct traced t;
	struct values old, new, zero;
};

FIXTURE_VARIANT(veto)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(veto);

FIXTURE_SETUP(veto)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FMOD_RET));
	self->old = make_values(2, 1);
	self->new = make_values(2, 2);
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	traced_forget(&self->t);
}

FIXTURE_TEARDOWN(veto)
{
	traced_close(&self->t);
}

/* What the program returns, and what the caller gets. */
static const struct {
	int veto;
	int error;
} verdicts[] = {
	{ -EACCES, -EACCES },
	{ -1, -1 },
	{ -4095, -4095 },	/* -MAX_ERRNO */
	{ -4096, -EPERM },
	{ 1, -EPERM },
	{ 0x7fffffff, -EPERM },
	{ -0x7fffffff - 1, -EPERM },
};

#define for_each_verdict(i) \
	for (unsigned int i = 0; i < ARRAY_SIZE(verdicts); i++)

static void veto_update(struct __test_metadata *_metadata,
			FIXTURE_DATA(veto) *self, enum from from)
{
	struct traced *t = &self->t;
	struct values *missing = t->kind->array ? &self->zero : NULL;

	for_each_verdict(i) {
		t->skel->bss->veto_update = verdicts[i].veto;
		traced_forget(t);
		EXPECT_EQ(verdicts[i].error,
			  traced_put(t, from, 2, &self->new, 0));
		EXPECT_EQ(verdicts[i].error,
			  traced_put(t, from, 3, &self->new, 0));
		expect_reports(_metadata, t, 2);
		expect_content(_metadata, t, 2, &self->old);
		expect_content(_metadata, t, 3, missing);
	}
	/* Without the veto, the same operation succeeds. */
	t->skel->bss->veto_update = 0;
	EXPECT_EQ(0, traced_put(t, FROM_SYSCALL, 2, &self->new, 0));
	expect_content(_metadata, t, 2, &self->new);
}

TEST_F(veto, syscall_update)
{
	veto_update(_metadata, self, FROM_SYSCALL);
}

TEST_F(veto, prog_update)
{
	veto_update(_metadata, self, FROM_PROG);
}

static void veto_delete(struct __test_metadata *_metadata,
			FIXTURE_DATA(veto) *self, int (*delete)(struct traced *))
{
	struct traced *t = &self->t;

	for_each_verdict(i) {
		t->skel->bss->veto_delete = verdicts[i].veto;
		traced_forget(t);
		EXPECT_EQ(verdicts[i].error, delete(t));
		expect_reports(_metadata, t, 1);
		expect_content(_metadata, t, 2, &self->old);
	}
	t->skel->bss->veto_delete = 0;
	EXPECT_EQ(0, delete(t));
	expect_content(_metadata, t, 2, NULL);
}

/* Arrays support no deletion: they return their own error and do not call the hook. */
static void array_delete(struct __test_metadata *_metadata,
			 FIXTURE_DATA(veto) *self, int error,
			 int (*delete)(struct traced *))
{
	self->t.skel->bss->veto_delete = -EACCES;
	EXPECT_EQ(error, delete(&self->t));
	expect_reports(_metadata, &self->t, 0);
}

static int syscall_delete(struct traced *t)
{
	return traced_delete(t, FROM_SYSCALL, 2);
}

static int prog_delete(struct traced *t)
{
	return traced_delete(t, FROM_PROG, 2);
}

static int lookup_and_delete(struct traced *t)
{
	char buffer[MAX_CPUS * VALUE_STRIDE];
	__u32 key = 2;

	return bpf_map_lookup_and_delete_elem(t->fd, &key, buffer);
}

#define VETO_DELETE(delete, array_error)				\
	TEST_F(veto, delete)						\
	{								\
		if (variant->kind.array)				\
			array_delete(_metadata, self, array_error, delete); \
		else							\
			veto_delete(_metadata, self, delete);		\
	}

VETO_DELETE(syscall_delete, -EINVAL)
VETO_DELETE(prog_delete, -EINVAL)
VETO_DELETE(lookup_and_delete, -ENOTSUPP_KERNEL)

/* The first veto ends the batch. */
TEST_F(veto, update_batch)
{
	__u32 keys[] = { 2, 3 }, count = 2;
	char values[2 * MAX_CPUS * VALUE_STRIDE] = {};

	self->t.skel->bss->veto_update = -EACCES;
	EXPECT_EQ(-EACCES, bpf_map_update_batch(self->t.fd, keys, values,
						&count, NULL));
	EXPECT_EQ(0, count);
	expect_reports(_metadata, &self->t, 1);
	expect_content(_metadata, &self->t, 2, &self->old);
}

/* Too late for a veto: the element is already unlinked when the hook runs. */
TEST_F(veto, lookup_and_delete_batch)
{
	char values[MAX_ENTRIES * MAX_CPUS * VALUE_STRIDE];
	__u32 keys[MAX_ENTRIES], cursor, count = MAX_ENTRIES;
	int err;

	self->t.skel->bss->veto_delete = -EACCES;
	err = bpf_map_lookup_and_delete_batch(self->t.fd, NULL, &cursor, keys,
					      values, &count, NULL);
	if (variant->kind.array) {
		EXPECT_EQ(-ENOTSUPP_KERNEL, err);
		expect_reports(_metadata, &self->t, 0);
		return;
	}
	EXPECT_EQ(-ENOENT, err);
	EXPECT_EQ(1, count);
	expect_reports(_metadata, &self->t, 1);
	expect_content(_metadata, &self->t, 2, NULL);
}

TEST_HARNESS_MAIN
