// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps call a hook only while a BPF program is loaded for it or attached to it, in
 * whichever way, and stop when the last one is gone. A kprobe on the hook tells.
 */
#include "static_key.h"

#define CYCLES 20

FIXTURE(static_key)
{
	struct probe probe;
};

WAYS_TO_ATTACH(static_key);

FIXTURE_SETUP(static_key)
{
	probe_open(_metadata, &self->probe);
}

FIXTURE_TEARDOWN(static_key)
{
	static_key__destroy(self->probe.skel);
}

/* Again and again: what one cycle leaves behind shows in the next. */
TEST_F_TIMEOUT(static_key, cycles, SECONDS)
{
	struct static_key *skel;
	struct bpf_link *link;

	for (int i = 0; i < CYCLES; i++) {
		skel = load(_metadata, variant->program);
		if (!variant->multi)
			expect_calls(_metadata, &self->probe, 1, 0);
		link = attach(_metadata, skel, variant->program, variant->multi, false);
		ASSERT_NE(NULL, link);
		expect_calls(_metadata, &self->probe, 1, 0);
		EXPECT_EQ(variant->runs, skel->bss->runs);
		bpf_link__destroy(link);
		static_key__destroy(skel);
		/* Mostly, the next cycle begins before the trampoline is freed. */
		if (i < 3)
			expect_off(_metadata, &self->probe);
	}
	expect_off(_metadata, &self->probe);
}

/* The hook is called until the last program is gone, in either order. */
TEST_F_TIMEOUT(static_key, beside_another, SECONDS)
{
	struct static_key *first = load(_metadata, variant->program);
	struct static_key *second = load(_metadata, "fentry");
	struct bpf_link *link;

	link = attach(_metadata, first, variant->program, variant->multi, false);
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, static_key__attach(second));
	expect_calls(_metadata, &self->probe, 1, 0);
	bpf_link__destroy(link);
	static_key__destroy(first);
	expect_calls(_metadata, &self->probe, 1, 0);
	EXPECT_EQ(2, second->bss->runs);
	static_key__destroy(second);
	expect_off(_metadata, &self->probe);
}

/* A program that is attached already is refused, after its trampoline was found. */
TEST_F_TIMEOUT(static_key, twice, SECONDS)
{
	struct static_key *skel = load(_metadata, variant->program);
	struct bpf_link *link;

	link = attach(_metadata, skel, variant->program, variant->multi, false);
	ASSERT_NE(NULL, link);
	libbpf_set_print(NULL);
	EXPECT_EQ(NULL, attach(_metadata, skel, variant->program, variant->multi,
			       false));
	EXPECT_EQ(EBUSY, errno);
	expect_calls(_metadata, &self->probe, 1, 0);
	EXPECT_EQ(variant->runs, skel->bss->runs);
	bpf_link__destroy(link);
	static_key__destroy(skel);
	expect_off(_metadata, &self->probe);
}

TEST_F_TIMEOUT(static_key, one_too_many, SECONDS)
{
	libbpf_set_print(NULL);
	attach_too_many(_metadata, &self->probe, variant->program, variant->multi);
}

/* The same without variants, and with the hook seen to be called before. */
FIXTURE(hook)
{
	struct probe probe;
};

FIXTURE_SETUP(hook)
{
	probe_open(_metadata, &self->probe);
	expect_on_and_off(_metadata, &self->probe);
}

FIXTURE_TEARDOWN(hook)
{
	static_key__destroy(self->probe.skel);
}

/* Each hook has a key of its own. */
TEST_F_TIMEOUT(hook, deletion, SECONDS)
{
	struct static_key *skel = load(_metadata, "fentry_delete");

	ASSERT_EQ(0, static_key__attach(skel));
	expect_calls(_metadata, &self->probe, 0, 1);
	EXPECT_EQ(1, skel->bss->runs);
	static_key__destroy(skel);
	expect_off(_metadata, &self->probe);
}

/* An after-hook has a key of its own, and needs the hook before the operation, too. */
TEST_F_TIMEOUT(hook, after, SECONDS)
{
	static const char *const names[] = { "fentry_updated", "fentry_deleted" };
	struct static_key *after = static_key__open(), *skel;

	ASSERT_NE(NULL, after);
	choose_program(_metadata, after->obj, "on_updated");
	choose_program(_metadata, after->obj, "on_deleted");
	ASSERT_EQ(0, static_key__load(after));
	ASSERT_EQ(0, static_key__attach(after));
	for (int deletion = 0; deletion < 2; deletion++) {
		skel = load(_metadata, names[deletion]);
		after->bss->updates = after->bss->deletions = 0;
		expect_calls(_metadata, &self->probe, !deletion, deletion);
		EXPECT_EQ(!deletion, after->bss->updates);
		EXPECT_EQ(deletion, after->bss->deletions);
		static_key__destroy(skel);
		expect_off(_metadata, &self->probe);
		after->bss->updates = after->bss->deletions = 0;
		expect_calls(_metadata, &self->probe, 0, 0);
		EXPECT_EQ(0, after->bss->updates);
		EXPECT_EQ(0, after->bss->deletions);
	}
	static_key__destroy(after);
}

/* Attaching to two functions fails for the second: the first is rolled back. */
TEST_F_TIMEOUT(hook, roll_back, SECONDS)
{
	static const char *const names[] = {
		"fentry_multi", "fexit_multi", "fsession_multi"
	};
	struct static_key *skel;

	libbpf_set_print(NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		skel = load(_metadata, names[i]);
		EXPECT_EQ(NULL, attach(_metadata, skel, names[i], true, true));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(0, skel->bss->runs);
		expect_off(_metadata, &self->probe);
		static_key__destroy(skel);
	}
}

TEST_F_TIMEOUT(hook, rejected, SECONDS)
{
	struct static_key *skel = static_key__open();

	ASSERT_NE(NULL, skel);
	libbpf_set_print(NULL);
	choose_program(_metadata, skel->obj, "rejected");
	EXPECT_EQ(-EACCES, static_key__load(skel));
	static_key__destroy(skel);
	expect_off(_metadata, &self->probe);
}

TEST_F_TIMEOUT(hook, extension, SECONDS)
{
	extend(_metadata, &self->probe);
}

TEST_HARNESS_MAIN
