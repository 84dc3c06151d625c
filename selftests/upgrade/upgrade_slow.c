// SPDX-License-Identifier: GPL-2.0-only
/* What the library does to a key takes long, and another CPU changes the key meanwhile. */
#include <pthread.h>
#include <time.h>
#include "upgrade_small.h"

#define NO_SUCH_KEY (ENTRIES + 2)	/* no other key has the same lock */

static pthread_t thread;
static bool started, over;
static __u64 began;

/* The library is converting a value of the old map. */
static void wait_for_library(FIXTURE_DATA(small) *self)
{
	use_cpu(1);
	while (!__atomic_load_n(&self->skel->bss->slow_reached, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&over, __ATOMIC_SEQ_CST))
		usleep(1000);
}

/* The last change by the old version, which the library has to carry over. */
static void change_last(FIXTURE_DATA(small) *self, int loops, void *(*meanwhile)(void *self))
{
	set_old(self, 1, 11);
	self->skel->bss->slow_value = (struct slow_point){ .cpu = 1, .loops = loops, .until = 2 };
	started = !pthread_create(&thread, NULL, meanwhile, self);
}

static void run_with_thread(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self)
{
	ASSERT_LT(1, libbpf_num_possible_cpus()) TH_LOG("the guest needs two CPUs");
	ASSERT_EQ(0, use_cpu(0));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	__atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
	ASSERT_TRUE(started);
	pthread_join(thread, NULL);
	EXPECT_EQ(2, self->skel->bss->slow_reached);
}

static void *update(void *arg)
{
	FIXTURE_DATA(small) *self = arg;
	struct timespec now;

	wait_for_library(self);
	clock_gettime(CLOCK_MONOTONIC, &now);
	began = now.tv_sec * 1000000000ULL + now.tv_nsec;
	__sync_fetch_and_add(&self->skel->bss->slow_reached, 1);
	self->result[0] = run_op(self, WIDE_UPDATE, 1, 0, 12);
	return NULL;
}

static void change_and_update(FIXTURE_DATA(small) *self)
{
	change_last(self, 3, update);
}

TEST_F_TIMEOUT(small, update_while_it_is_copied, SECONDS)
{
	self->on_detach = change_and_update;
	run_with_thread(_metadata, self);
	EXPECT_LT(began, self->skel->bss->slow_value.left);
	EXPECT_EQ(0, self->result[0]);
	EXPECT_EQ(12, get_new(self, 1, 0)) TH_LOG("overwritten by what was copied");
}

/* An event that found the phase in which it has to look at the old map. */
static void *read_slowly(void *arg)
{
	FIXTURE_DATA(small) *self = arg;

	wait_for_library(self);
	/* Longer than a library that does not wait takes to end, on a loaded host as well. */
	self->skel->bss->slow_revert = (struct slow_point){ .cpu = 2, .loops = 10 };
	read_new(self, NO_SUCH_KEY);
	return NULL;
}

static void change_and_read(FIXTURE_DATA(small) *self)
{
	change_last(self, 0, read_slowly);
}

/* From now on, nobody asks who owns a key. */
static void create(FIXTURE_DATA(small) *self)
{
	self->result[0] = set_new(self, NO_SUCH_KEY, 50);
}

TEST_F_TIMEOUT(small, read_until_it_is_done, SECONDS)
{
	self->on_detach = change_and_read;
	self->on_done = create;
	run_with_thread(_metadata, self);
	EXPECT_EQ(0, self->result[0]);
	EXPECT_EQ(50, get_new(self, NO_SUCH_KEY, 0)) TH_LOG("deleted by the event");
}

TEST_HARNESS_MAIN
