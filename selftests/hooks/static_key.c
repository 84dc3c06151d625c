// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps call a hook only while a BPF program is loaded for it or attached to it, in
 * whichever way, and stop when the last one is gone. A kprobe on the hook tells.
 */
#include "static_key.h"

#define TOO_MANY 39	/* programs for one function, on any architecture */
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

/* A function takes no more programs: the one too many must leave nothing behind. */
TEST_F_TIMEOUT(static_key, one_too_many, SECONDS)
{
	struct static_key *skels[TOO_MANY];
	struct bpf_link *links[TOO_MANY];
	int i;

	libbpf_set_print(NULL);
	for (i = 0; i < TOO_MANY; i++) {
		skels[i] = load(_metadata, variant->program);
		links[i] = attach(_metadata, skels[i], variant->program,
				  variant->multi, false);
		if (!links[i])
			break;
	}
	EXPECT_EQ(E2BIG, errno);
	ASSERT_GT(TOO_MANY, i);
	ASSERT_LT(10, i);
	expect_calls(_metadata, &self->probe, 1, 0);
	for (; i >= 0; i--) {
		bpf_link__destroy(links[i]);
		static_key__destroy(skels[i]);
	}
	expect_off(_metadata, &self->probe);
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

/* An extension has a trampoline of its own, but not for a kernel function. */
TEST_F_TIMEOUT(hook, extension, SECONDS)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct static_key *target, *skel;
	struct bpf_link *link;
	int fd;

	target = load(_metadata, "target");
	fd = bpf_program__fd(target->progs.target);
	skel = static_key__open();
	ASSERT_NE(NULL, skel);
	bpf_program__set_autoload(skel->progs.extension, true);
	ASSERT_EQ(0, bpf_program__set_attach_target(skel->progs.extension, fd,
						    "replaced"));
	ASSERT_EQ(0, static_key__load(skel));
	link = bpf_program__attach_freplace(skel->progs.extension, fd, "replaced");
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, bpf_prog_test_run_opts(fd, &opts));
	EXPECT_EQ(2, opts.retval);
	expect_calls(_metadata, &self->probe, 0, 0);
	bpf_link__destroy(link);
	static_key__destroy(skel);
	static_key__destroy(target);
}

TEST_HARNESS_MAIN
