// SPDX-License-Identifier: GPL-2.0-only
/* Updates of one element, with every flag, from a system call and from a program. */
#include "expect.h"

FIXTURE(update)
{
	struct traced t;
	struct values zero, old, new;
	const struct values *before;	/* of key 3, which the setup does not write */
};

FIXTURE_VARIANT(update)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(update);

FIXTURE_SETUP(update)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FENTRY));
	self->old = make_values(2, 1);
	self->new = make_values(2, 2);
	self->before = variant->kind.array ? &self->zero : NULL;
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	traced_forget(&self->t);
}

FIXTURE_TEARDOWN(update)
{
	traced_close(&self->t);
}

static void succeed(struct __test_metadata *_metadata,
		    FIXTURE_DATA(update) *self, enum from from, __u32 key,
		    __u64 flags)
{
	const struct values *old = key == 2 ? &self->old : self->before;
	struct traced *t = &self->t;
	struct values now = written(t, from, old ?: &self->zero, &self->new);

	EXPECT_EQ(0, traced_put(t, from, key, &self->new, flags));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_UPDATE, key,
			flags_in_hook(t, from, flags), &self->new, old,
			t->kind->array ? -1 : 1);
	expect_content(_metadata, t, key, &now);
}

/* Fails because of what the map holds: reported, as the hook comes before that. */
static void fail(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self,
		 enum from from, __u32 key, __u64 flags, int error)
{
	const struct values *old = key == 2 ? &self->old : self->before;
	struct traced *t = &self->t;

	EXPECT_EQ(error, traced_put(t, from, key, &self->new, flags));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_UPDATE, key,
			flags_in_hook(t, from, flags), &self->new, old, -1);
	expect_content(_metadata, t, key, old);
}

/* Rejected for invalid arguments: not reported. */
static void reject(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self,
		   enum from from, __u32 key, __u64 flags, int error)
{
	EXPECT_EQ(error, traced_put(&self->t, from, key, &self->new, flags));
	expect_reports(_metadata, &self->t, 0);
	expect_content(_metadata, &self->t, 2, &self->old);
}

#define FROM_BOTH(name, body)						\
	TEST_F(update, syscall_##name)					\
	{								\
		const enum from from = FROM_SYSCALL;			\
		body;							\
	}								\
	TEST_F(update, prog_##name)					\
	{								\
		const enum from from = FROM_PROG;			\
		body;							\
	}

FROM_BOTH(replace_any, succeed(_metadata, self, from, 2, BPF_ANY))
FROM_BOTH(replace_exist, succeed(_metadata, self, from, 2, BPF_EXIST))
FROM_BOTH(create_any, succeed(_metadata, self, from, 3, BPF_ANY))

/* All elements of an array exist, so BPF_NOEXIST is never valid. */
FROM_BOTH(create_noexist, ({
	if (variant->kind.array)
		reject(_metadata, self, from, 3, BPF_NOEXIST, -EEXIST);
	else
		succeed(_metadata, self, from, 3, BPF_NOEXIST);
}))

FROM_BOTH(existing_noexist, ({
	if (variant->kind.array)
		reject(_metadata, self, from, 2, BPF_NOEXIST, -EEXIST);
	else
		fail(_metadata, self, from, 2, BPF_NOEXIST, -EEXIST);
}))

FROM_BOTH(missing_exist, ({
	if (variant->kind.array)
		succeed(_metadata, self, from, 3, BPF_EXIST);
	else
		fail(_metadata, self, from, 3, BPF_EXIST, -ENOENT);
}))

FROM_BOTH(unknown_flags, reject(_metadata, self, from, 2, 64, -EINVAL))
FROM_BOTH(lock_without_lock,
	  reject(_metadata, self, from, 2, BPF_F_LOCK, -EINVAL))

/* A program cannot choose a CPU. */
TEST_F(update, prog_cpu_flags)
{
	reject(_metadata, self, FROM_PROG, 2, BPF_F_CPU, -EINVAL);
	reject(_metadata, self, FROM_PROG, 2, BPF_F_ALL_CPUS, -EINVAL);
}

/* A system call writes one value to one CPU or to all; the flags tell the hook. */
static void spread(struct __test_metadata *_metadata, FIXTURE_DATA(update) *self,
		   __u64 flags, struct values now)
{
	if (!self->t.kind->percpu) {
		reject(_metadata, self, FROM_SYSCALL, 2, flags, -EINVAL);
		return;
	}
	EXPECT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->new, flags));
	expect_reports(_metadata, &self->t, 1);
	expect_reported(_metadata, &self->t, HOOK_UPDATE, 2, flags, &self->new,
			&self->old, -1);
	expect_content(_metadata, &self->t, 2, &now);
}

TEST_F(update, syscall_one_cpu)
{
	struct values now = self->old;

	now.on[self->t.cpu] = self->new.on[0];
	spread(_metadata, self, BPF_F_CPU | (__u64)self->t.cpu << 32, now);
}

TEST_F(update, syscall_all_cpus)
{
	spread(_metadata, self, BPF_F_ALL_CPUS, same_on_all(2, 2));
}

TEST_F(update, syscall_no_such_cpu)
{
	reject(_metadata, self, FROM_SYSCALL, 2,
	       BPF_F_CPU | (__u64)self->t.nr_cpus << 32,
	       variant->kind.percpu ? -ERANGE : -EINVAL);
}

/* For an array, an index beyond its end is an invalid argument. */
static void add_to_full(struct __test_metadata *_metadata,
			FIXTURE_DATA(update) *self, enum from from)
{
	struct traced *t = &self->t;

	if (t->kind->array) {
		reject(_metadata, self, from, MAX_ENTRIES, BPF_ANY, -E2BIG);
		return;
	}
	for (__u32 key = 100; key < 100 + MAX_ENTRIES - 1; key++) {
		ASSERT_EQ(0, traced_put(t, FROM_SYSCALL, key, &self->new, 0));
	}
	traced_forget(t);
	EXPECT_EQ(t->kind->lru ? 0 : -E2BIG,
		  traced_put(t, from, 200, &self->new, BPF_ANY));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_UPDATE, 200,
			flags_in_hook(t, from, BPF_ANY), &self->new, NULL, -1);
}

FROM_BOTH(full, add_to_full(_metadata, self, from))

TEST_HARNESS_MAIN
