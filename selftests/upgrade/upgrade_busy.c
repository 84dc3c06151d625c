// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel skips the library's programs: for other maps, all the time, and in an
 * interrupt.
 */
#include <errno.h>
#include <pthread.h>
#include "upgrade_small.h"
#include "upgrade_busy.skel.h"

static struct upgrade_busy *busy;
static pthread_t thread;
static int stop;

static void change_once(FIXTURE_DATA(small) *self)
{
	__u32 zero = 0;

	bpf_map_update_elem(bpf_map__fd(busy->maps.other_map), &zero, &zero, BPF_ANY);
}

static void *change(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		change_once(NULL);
	return NULL;
}

static int aim(struct bpf_program *prog, const struct bpf_program *target)
{
	return bpf_program__set_autoload(prog, true) ?:
	       bpf_program__set_attach_target(prog, bpf_program__fd(target),
					      bpf_program__name(target));
}

static int load_and_attach(void)
{
	return upgrade_busy__load(busy) ?: upgrade_busy__attach(busy);
}

/* From now on, a marker is skipped for each change of the other map. */
static void attach_busy(FIXTURE_DATA(small) *self)
{
	busy = upgrade_busy__open();
	self->found = aim(busy->progs.nest, self->skel->progs.upgrade_mark_update) ?:
		      load_and_attach() ?:
		      pthread_create(&thread, NULL, change, NULL);
}

TEST_F_TIMEOUT(small, other_maps_change, SECONDS)
{
	self->on_attach = attach_busy;
	self->on_settled = change_once;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, self->report.stragglers);
	EXPECT_LT(100, self->report.recursion_misses);
	stop = 1;
	pthread_join(thread, NULL);
	upgrade_busy__destroy(busy);
}

static void attach_interrupts(FIXTURE_DATA(small) *self)
{
	busy = upgrade_busy__open();
	bpf_map__reuse_fd(busy->maps.old_map, self->old);
	bpf_map__reuse_fd(busy->maps.upgrade_events,
			  bpf_map__fd(self->skel->maps.upgrade_events));
	/* The last that was attached runs first, so each can be interrupted by the next. */
	self->found = aim(busy->progs.first, self->skel->progs.upgrade_gate_update_4) ?:
		      aim(busy->progs.second, self->skel->progs.upgrade_gate_update_3) ?:
		      aim(busy->progs.third, self->skel->progs.upgrade_gate_update_2) ?:
		      aim(busy->progs.fourth, self->skel->progs.upgrade_gate_update) ?:
		      load_and_attach();
}

/* An event that the old version handles, or the new one, while the gate is at another one. */
static void event_of_old(FIXTURE_DATA(small) *self)
{
	busy->bss->levels = 1;
	change_once(self);
}

static void event_of_new(FIXTURE_DATA(small) *self)
{
	busy->bss->noted = 1;
	event_of_old(self);
}

/* Each of these events interrupts another program of the gate. */
static void events_of_new(FIXTURE_DATA(small) *self)
{
	busy->bss->noted = 1;
	busy->bss->levels = 4;
	change_once(self);
}

TEST_F_TIMEOUT(small, gate_misses_nothing, SECONDS)
{
	self->on_attach = attach_interrupts;
	self->on_detach = event_of_old;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, busy->bss->result[0]);
	EXPECT_EQ(0, self->report.handled_twice);
	EXPECT_LT(0, self->report.recursion_misses);
	EXPECT_EQ(77, get_new(self, 1, 0));
	upgrade_busy__destroy(busy);
}

/* One of the gate's programs is skipped; the others refuse what the old version does. */
TEST_F_TIMEOUT(small, gate_in_an_interrupt, SECONDS)
{
	self->on_attach = attach_interrupts;
	self->on_detach = event_of_new;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(-EPERM, busy->bss->result[0]);
	EXPECT_LT(0, self->report.recursion_misses);
	EXPECT_EQ(10, get_new(self, 1, 0));
	upgrade_busy__destroy(busy);
}

/* All of them are skipped for the last of four. */
TEST_F_TIMEOUT(small, gate_misses_a_change, SECONDS)
{
	self->on_attach = attach_interrupts;
	self->on_detach = events_of_new;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(0, self->found);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(-EPERM, busy->bss->result[i]);
	EXPECT_EQ(0, busy->bss->result[3]);
	EXPECT_EQ(1, self->report.handled_twice) TH_LOG("%s", self->report.error);
	upgrade_busy__destroy(busy);
}

static void attach_replace(FIXTURE_DATA(small) *self)
{
	busy = upgrade_busy__open();
	bpf_map__reuse_fd(busy->maps.old_map, self->old);
	bpf_program__set_autoload(busy->progs.replace, true);
	self->found = load_and_attach();
}

static void update_both(FIXTURE_DATA(small) *self)
{
	busy->bss->replaces = 1;
	self->result[0] = run_op(self, WIDE_UPDATE, 1, 0, 111);
	busy->bss->replaces = 0;
	self->result[1] = run_op(self, WIDE_UPDATE, 2, 0, 222);
}

/* An element of the old map is replaced faster than it can be read. */
TEST_F_TIMEOUT(small, replaced_all_the_time, SECONDS)
{
	self->on_attach = attach_replace;
	self->on_detach = update_both;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(UPGRADE_DONE, self->report.phase) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-EBUSY, self->result[0]);
	EXPECT_EQ(0, self->result[1]);
	EXPECT_EQ(2, self->report.copy_failures) TH_LOG("for the lookup and the update");
	EXPECT_EQ(77, get_new(self, 1, 0));
	EXPECT_EQ(222, get_new(self, 2, 0));
	upgrade_busy__destroy(busy);
}

TEST_HARNESS_MAIN
