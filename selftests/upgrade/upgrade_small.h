/* SPDX-License-Identifier: GPL-2.0-only */
/* An upgrade of a map of four elements, in which the test can interfere at each step. */
#ifndef UPGRADE_SMALL_H
#define UPGRADE_SMALL_H

#include <signal.h>
#include <unistd.h>
#include <sys/wait.h>
#include "bpf_harness.h"
#include "upgrade_reason.h"
#include "upgrade_wide.h"
#include "upgrade_small.skel.h"

#define ENTRIES 4

FIXTURE(small)
{
	struct upgrade_opts opts;
	struct upgrade_report report;
	struct upgrade_small *skel;
	struct upgrade *upgrade;
	int old, new;
	int held, released, detached;	/* numbers of calls */
	enum upgrade_phase first, phase;	/* as passed to release_writers() */
	int hold_result;
	void (*on_attach)(FIXTURE_DATA(small) *self);
	void (*on_hold)(FIXTURE_DATA(small) *self);
	void (*on_detach)(FIXTURE_DATA(small) *self);
	void (*on_reconcile)(FIXTURE_DATA(small) *self);
	void (*on_settled)(FIXTURE_DATA(small) *self);
	void (*on_done)(FIXTURE_DATA(small) *self);
	struct wide_op op;
	__s64 found;
	long result[4];
	__u64 read[4];
};

static inline int set_old(FIXTURE_DATA(small) *self, __u32 key, __u64 value)
{
	return bpf_map_update_elem(self->old, &key, &value, BPF_ANY);
}

static inline int delete_old(FIXTURE_DATA(small) *self, __u32 key)
{
	return bpf_map_delete_elem(self->old, &key);
}

static inline int set_new(FIXTURE_DATA(small) *self, __u32 key, __u64 value)
{
	struct wide_key wide = { key };

	return bpf_map_update_elem(self->new, &wide, &value, BPF_ANY);
}

static inline int delete_new(FIXTURE_DATA(small) *self, __u32 key)
{
	struct wide_key wide = { key };

	return bpf_map_delete_elem(self->new, &wide);
}

/* 0: no such element. */
static inline __u64 get_new(FIXTURE_DATA(small) *self, __u32 key, __u32 part)
{
	struct wide_key wide = { key, part };
	__u64 value = 0;

	return bpf_map_lookup_elem(self->new, &wide, &value) ? 0 : value;
}

static inline int attach(void *ctx)
{
	FIXTURE_DATA(small) *self = ctx;

	if (self->on_attach)
		self->on_attach(self);
	return 0;
}

static inline int detach(void *ctx)
{
	FIXTURE_DATA(small) *self = ctx;

	self->detached++;
	if (self->on_detach)
		self->on_detach(self);
	return 0;
}

static inline int hold(void *ctx)
{
	FIXTURE_DATA(small) *self = ctx;

	self->held++;
	if (self->on_hold)
		self->on_hold(self);
	return self->hold_result;
}

static inline void release(void *ctx, enum upgrade_phase phase)
{
	FIXTURE_DATA(small) *self = ctx;

	if (!self->released++)
		self->first = phase;
	self->phase = phase;
}

/* A phase has more than one sample; act on the first. */
static inline void once(void (**step)(FIXTURE_DATA(small) *self), FIXTURE_DATA(small) *self)
{
	void (*now)(FIXTURE_DATA(small) *self) = *step;

	*step = NULL;
	if (now)
		now(self);
}

static inline void sample(void *ctx, const struct upgrade_sample *sample)
{
	FIXTURE_DATA(small) *self = ctx;

	if (sample->phase == UPGRADE_WATCHING && sample->dirty)
		once(&self->on_reconcile, self);
	if (sample->phase == UPGRADE_SETTLED)
		once(&self->on_settled, self);
	if (sample->phase == UPGRADE_DONE)
		once(&self->on_done, self);
}

/* Open the object for an upgrade; the caller loads it. */
static inline int open_new(FIXTURE_DATA(small) *self, __u32 entries)
{
	self->skel = upgrade_small__open();
	bpf_map__set_max_entries(self->skel->maps.new_map, entries);
	return open_upgrade(self->skel->obj, &self->opts, &self->upgrade);
}

static inline void close_new(FIXTURE_DATA(small) *self)
{
	upgrade_close(self->upgrade);
	upgrade_small__destroy(self->skel);
	self->upgrade = NULL;
	self->skel = NULL;
}

/* Start over with a new map of this size. */
static inline int reopen_new(FIXTURE_DATA(small) *self, __u32 entries)
{
	int err;

	close_new(self);
	err = open_new(self, entries) ?: upgrade_small__load(self->skel);
	self->new = bpf_map__fd(self->skel->maps.new_map);
	return err;
}

/* ... and with an old map that only programs can change from the switch on. */
static inline int reopen_to_freeze(FIXTURE_DATA(small) *self, __u32 entries)
{
	self->opts.no_freeze = false;
	return reopen_new(self, entries);
}

FIXTURE_SETUP(small)
{
	libbpf_set_print(print_warnings);
	self->old = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, ENTRIES, NULL);
	ASSERT_LE(0, self->old);
	self->opts = (struct upgrade_opts){
		.sz = sizeof(self->opts),
		.old_map_fd = self->old,
		.attach_new = attach,
		.detach_old = detach,
		.hold_writers = hold,
		.release_writers = release,
		.sample = sample,
		.ctx = self,
		.min_passes = 1,
		/* System calls stand in for the old version's programs. */
		.no_freeze = true,
	};
	for (__u32 key = 1; key <= ENTRIES; key++)
		ASSERT_EQ(0, set_old(self, key, 10 * key));
	ASSERT_EQ(0, open_new(self, 2 * ENTRIES));
	ASSERT_EQ(0, upgrade_small__load(self->skel));
	self->new = bpf_map__fd(self->skel->maps.new_map);
}

FIXTURE_TEARDOWN(small)
{
	close_new(self);
	close(self->old);
}

static inline int run(FIXTURE_DATA(small) *self)
{
	self->report.sz = sizeof(self->report);
	return upgrade_run(self->upgrade, &self->report);
}

static inline void die(FIXTURE_DATA(small) *self)
{
	kill(getpid(), SIGKILL);
}

/* In a process that one of the test's functions kills. */
static inline void run_and_die(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self)
{
	pid_t child = fork();
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		run(self);
		_exit(1);
	}
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("it ended before it was killed");
	self->on_hold = NULL;
	self->on_detach = NULL;
	self->on_settled = NULL;
}

/* Carry on with a new object and the maps of this one, as another process would. */
static inline int resume(FIXTURE_DATA(small) *self)
{
	struct upgrade_small *dead = self->skel;
	struct bpf_map *map;
	int err;

	self->report.sz = sizeof(self->report);
	upgrade_close(self->upgrade);
	err = open_new(self, 2 * ENTRIES);
	bpf_object__for_each_map(map, self->skel->obj)
		err = err ?: bpf_map__reuse_fd(map, bpf_object__find_map_fd_by_name(
							    dead->obj, bpf_map__name(map)));
	err = err ?: upgrade_small__load(self->skel) ?:
	      upgrade_resume(self->upgrade, &self->report);
	self->new = bpf_map__fd(self->skel->maps.new_map);
	upgrade_small__destroy(dead);
	return err;
}

/* Have the new version handle an event; what it found is in self->op. */
static inline long run_op(FIXTURE_DATA(small) *self, enum wide_kind kind, __u32 key,
			  __u32 part, __u64 value)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &self->op,
		    .ctx_size_in = sizeof(self->op));

	self->op = (struct wide_op){
		.kind = kind, .key = { key, part }, .value = value, .result = 1,
	};
	bpf_prog_test_run_opts(bpf_program__fd(self->skel->progs.new_op), &opts);
	return self->op.result;
}

/* As a writer does before it changes the new map: 1 if it is to use the old one. */
static inline int claim(FIXTURE_DATA(small) *self, __u32 key)
{
	struct wide_key wide = { key };

	return upgrade_claim(bpf_program__fd(self->skel->progs.upgrade_claim), &wide,
			     sizeof(wide));
}

static inline __u64 read_new(FIXTURE_DATA(small) *self, __u32 key)
{
	run_op(self, WIDE_READ, key, 0, 0);
	return self->op.found;
}

#endif /* UPGRADE_SMALL_H */
