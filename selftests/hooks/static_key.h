/* SPDX-License-Identifier: GPL-2.0-only */
/* A probe that tells whether maps call the hooks, and programs to attach to them. */
#ifndef STATIC_KEY_H
#define STATIC_KEY_H

#include <limits.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "multi.h"
#include "static_key.skel.h"

#define TOO_MANY 39	/* programs for one function, on any architecture */

/* The programs of static_key.bpf.c, as variants of a fixture. */
#define WAYS_TO_ATTACH(fixture)						\
	FIXTURE_VARIANT(fixture)					\
	{								\
		const char *program;					\
		unsigned int runs;	/* for each call of the hook */	\
		bool multi;	/* gets its functions when attached */	\
	};								\
	FIXTURE_VARIANT_ADD(fixture, fentry) { "fentry", 1 };		\
	FIXTURE_VARIANT_ADD(fixture, fexit) { "fexit", 1 };		\
	FIXTURE_VARIANT_ADD(fixture, fmod_ret) { "fmod_ret", 1 };	\
	FIXTURE_VARIANT_ADD(fixture, fsession) { "fsession", 2 };	\
	FIXTURE_VARIANT_ADD(fixture, fentry_multi)			\
	{ "fentry_multi", 1, true };					\
	FIXTURE_VARIANT_ADD(fixture, fexit_multi)			\
	{ "fexit_multi", 1, true };					\
	FIXTURE_VARIANT_ADD(fixture, fsession_multi)			\
	{ "fsession_multi", 2, true }

struct probe {
	struct static_key *skel;
	int change;	/* the program that updates and deletes an element */
};

/* Calls of the hooks: seen by a kprobe, and those for which it was skipped. */
struct calls {
	__u32 updates;
	__u32 deletions;
};

static inline struct calls calls_so_far(const struct static_key *skel)
{
	return (struct calls){
		skel->bss->updates + misses(skel->progs.on_update),
		skel->bss->deletions + misses(skel->progs.on_delete),
	};
}

/*
 * How often an update and a deletion call their hooks. The kernel skips a kprobe's
 * program while a task that it has preempted on that CPU is inside a system call that
 * changes a map.
 */
static inline struct calls calls(struct __test_metadata *_metadata,
				 const struct probe *probe)
{
	struct calls before = calls_so_far(probe->skel), after;
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	EXPECT_EQ(0, bpf_prog_test_run_opts(probe->change, &opts));
	EXPECT_EQ(0, opts.retval);
	after = calls_so_far(probe->skel);
	return (struct calls){ after.updates - before.updates,
			       after.deletions - before.deletions };
}

static inline void expect_calls(struct __test_metadata *_metadata,
				const struct probe *probe, __u32 updates,
				__u32 deletions)
{
	struct calls seen = calls(_metadata, probe);

	EXPECT_EQ(updates, seen.updates);
	EXPECT_EQ(deletions, seen.deletions);
}

/* A trampoline is freed after RCU grace periods, which take their time. */
static inline void expect_off(struct __test_metadata *_metadata,
			      const struct probe *probe)
{
	struct calls seen = calls(_metadata, probe);

	for (int i = 0; seen.updates || seen.deletions; i++) {
		ASSERT_GT(SECONDS / 2 * 10, i) TH_LOG("the hooks are still called");
		usleep(100 * 1000);
		seen = calls(_metadata, probe);
	}
}

static inline void probe_open(struct __test_metadata *_metadata,
			      struct probe *probe)
{
	struct static_key *skel = probe->skel = static_key__open();

	libbpf_set_print(print_warnings);
	ASSERT_NE(NULL, skel);
	bpf_program__set_autoload(skel->progs.on_update, true);
	bpf_program__set_autoload(skel->progs.on_delete, true);
	bpf_program__set_autoload(skel->progs.update_and_delete, true);
	ASSERT_EQ(0, static_key__load(skel));
	ASSERT_EQ(0, static_key__attach(skel));
	probe->change = bpf_program__fd(skel->progs.update_and_delete);
	expect_off(_metadata, probe);
}

static inline struct static_key *load(struct __test_metadata *_metadata,
				      const char *name)
{
	struct static_key *skel = static_key__open();

	ASSERT_NE(NULL, skel);
	choose_program(_metadata, skel->obj, name);
	ASSERT_EQ(0, static_key__load(skel));
	return skel;
}

/*
 * Multi forms by ID, because names are looked up in tracefs. To make one fail, add an
 * ID that does not exist; the kernel tries them in ascending order.
 */
static inline struct bpf_link *attach(struct __test_metadata *_metadata,
				      struct static_key *skel, const char *name,
				      bool multi, bool fail)
{
	struct bpf_program *prog = choose_program(_metadata, skel->obj, name);
	int hook;

	if (!multi)
		return bpf_program__attach(prog);
	hook = libbpf_find_vmlinux_btf_id("bpf_map_trace_update_elem",
					  BPF_TRACE_FENTRY);
	errno = -hook;
	return hook < 0 ? NULL :
	       attach_multi(prog, (__u32[]){ hook, UINT_MAX }, fail ? 2 : 1);
}

/* A function takes no more programs: the one too many must leave nothing behind. */
static inline void attach_too_many(struct __test_metadata *_metadata,
				   const struct probe *probe, const char *name,
				   bool multi)
{
	struct static_key *skels[TOO_MANY];
	struct bpf_link *links[TOO_MANY];
	int i;

	for (i = 0; i < TOO_MANY; i++) {
		skels[i] = load(_metadata, name);
		links[i] = attach(_metadata, skels[i], name, multi, false);
		if (!links[i])
			break;
	}
	EXPECT_EQ(E2BIG, errno);
	ASSERT_GT(TOO_MANY, i);
	ASSERT_LT(10, i);
	EXPECT_LE(1, calls(_metadata, probe).updates);
	for (; i >= 0; i--) {
		bpf_link__destroy(links[i]);
		static_key__destroy(skels[i]);
	}
	expect_off(_metadata, probe);
}

/* An extension has a trampoline of its own, but not for a kernel function. */
static inline void extend(struct __test_metadata *_metadata, const struct probe *probe)
{
	struct static_key *target = load(_metadata, "target");
	int fd = bpf_program__fd(target->progs.target);
	struct static_key *skel = static_key__open();
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct bpf_link *link;

	ASSERT_NE(NULL, skel);
	bpf_program__set_autoload(skel->progs.extension, true);
	ASSERT_EQ(0, bpf_program__set_attach_target(skel->progs.extension, fd,
						    "replaced"));
	ASSERT_EQ(0, static_key__load(skel));
	link = bpf_program__attach_freplace(skel->progs.extension, fd, "replaced");
	ASSERT_NE(NULL, link);
	ASSERT_EQ(0, bpf_prog_test_run_opts(fd, &opts));
	EXPECT_EQ(2, opts.retval);
	expect_calls(_metadata, probe, 0, 0);
	bpf_link__destroy(link);
	static_key__destroy(skel);
	static_key__destroy(target);
}

/* That the hook is called if a program is there. */
static inline void expect_on_and_off(struct __test_metadata *_metadata,
				     const struct probe *probe)
{
	struct static_key *skel = load(_metadata, "fentry");

	expect_calls(_metadata, probe, 1, 0);
	static_key__destroy(skel);
	expect_off(_metadata, probe);
}

#endif /* STATIC_KEY_H */
