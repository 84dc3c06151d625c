// SPDX-License-Identifier: GPL-2.0-only
/*
 * The after-hooks: each element that was changed is reported once, when a lookup
 * sees the change; what failed is not reported.
 */
#include "after_test.h"

#define LAST_KEY 40	/* more than the map has room for */

FIXTURE(after)
{
	struct traced t;
	struct after *skel;
	struct values zero, old, new;
};

FIXTURE_VARIANT(after)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(after);

FIXTURE_SETUP(after)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FMOD_RET));
	self->old = make_values(2, 1);
	self->new = make_values(2, 2);
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	self->skel = after_open(_metadata, &self->t);
	traced_forget(&self->t);
}

FIXTURE_TEARDOWN(after)
{
	after__destroy(self->skel);
	traced_close(&self->t);
}

static void update(struct __test_metadata *_metadata, FIXTURE_DATA(after) *self,
		   enum from from, __u32 key, __u64 flags)
{
	struct values now = written(&self->t, from, key == 2 ? &self->old : &self->zero,
				    &self->new);

	EXPECT_EQ(0, traced_put(&self->t, from, key, &self->new, flags));
	expect_after_count(_metadata, self->skel, 1);
	expect_after(_metadata, &self->t, self->skel, HOOK_UPDATED, key,
		     flags_in_hook(&self->t, from, flags), &self->new, &now);
}

/* For whatever reason an update fails, the after-hook is not called. */
static void fail(struct __test_metadata *_metadata, FIXTURE_DATA(after) *self,
		 enum from from, __u32 key, __u64 flags, int error)
{
	EXPECT_EQ(error, traced_put(&self->t, from, key, &self->new, flags));
	expect_after_count(_metadata, self->skel, 0);
}

/* As in the beginning, for the next round. */
static void restore(struct __test_metadata *_metadata, FIXTURE_DATA(after) *self)
{
	self->t.skel->bss->veto_update = 0;
	for (__u32 key = 0; !self->t.kind->array && key <= LAST_KEY; key++)
		traced_delete(&self->t, FROM_SYSCALL, key);
	if (self->t.kind->array) {
		ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 3, &self->zero, 0));
	}
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	self->skel->bss->n_after = 0;
}

/* A round from a system call, and one from a program. */
#define FROM_BOTH(name, body)						\
	TEST_F(after, name)						\
	{								\
		for (enum from from = FROM_SYSCALL; from <= FROM_PROG; from++) { \
			restore(_metadata, self);			\
			body;						\
		}							\
	}

FROM_BOTH(replace, update(_metadata, self, from, 2, BPF_ANY))
FROM_BOTH(replace_exist, update(_metadata, self, from, 2, BPF_EXIST))
FROM_BOTH(create, update(_metadata, self, from, 3, BPF_ANY))
FROM_BOTH(existing_noexist, fail(_metadata, self, from, 2, BPF_NOEXIST, -EEXIST))
FROM_BOTH(invalid, fail(_metadata, self, from, 2, 64, -EINVAL))

FROM_BOTH(missing_exist, ({
	if (variant->kind.array)
		update(_metadata, self, from, 3, BPF_EXIST);
	else
		fail(_metadata, self, from, 3, BPF_EXIST, -ENOENT);
}))

FROM_BOTH(full, ({
	for (__u32 key = 20; !variant->kind.array && key < 19 + MAX_ENTRIES; key++) {
		ASSERT_EQ(0, traced_put(&self->t, from, key, &self->new, 0));
	}
	self->skel->bss->n_after = 0;
	if (variant->kind.lru)
		update(_metadata, self, from, LAST_KEY, BPF_ANY);
	else
		fail(_metadata, self, from, LAST_KEY, BPF_ANY, -E2BIG);
}))

FROM_BOTH(stopped_update, ({
	self->t.skel->bss->veto_update = -EACCES;
	fail(_metadata, self, from, 2, BPF_ANY, -EACCES);
}))

/* A system call writes one value to one CPU or to all. */
TEST_F(after, one_cpu_and_all)
{
	__u64 one = BPF_F_CPU | (__u64)self->t.cpu << 32;
	struct values now = self->old;

	if (!variant->kind.percpu) {
		fail(_metadata, self, FROM_SYSCALL, 2, one, -EINVAL);
		return;
	}
	now.on[self->t.cpu] = self->new.on[0];
	EXPECT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->new, one));
	expect_after_count(_metadata, self->skel, 1);
	expect_after(_metadata, &self->t, self->skel, HOOK_UPDATED, 2, one, &self->new,
		     &now);
	self->skel->bss->n_after = 0;
	now = same_on_all(2, 2);
	EXPECT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->new,
				BPF_F_ALL_CPUS));
	expect_after_count(_metadata, self->skel, 1);
	expect_after(_metadata, &self->t, self->skel, HOOK_UPDATED, 2, BPF_F_ALL_CPUS,
		     &self->new, &now);
}

/* No lock is held: the program can change the same element. */
TEST_F(after, change_again)
{
	self->skel->bss->change_again = true;
	EXPECT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->new, 0));
	EXPECT_EQ(-EEXIST, self->skel->bss->after[0].again);
	if (variant->kind.array)
		return;
	EXPECT_EQ(0, traced_delete(&self->t, FROM_SYSCALL, 2));
	EXPECT_EQ(-ENOENT, self->skel->bss->after[1].again);
	expect_after_count(_metadata, self->skel, 2);
}

TEST_HARNESS_MAIN
