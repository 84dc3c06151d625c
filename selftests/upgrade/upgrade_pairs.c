// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two maps of one program are upgraded in one switch: what is true of both of them
 * together in the old version is true in each event of the new one.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include "upgrade_pairs_fixture.h"
#include "upgrade_progress.h"

#define THREADS 2
#define LEAST 200		/* events before the switch, and after it */

static __u64 calls[PAIRS_KEYS];
static int stop;

/* Each key belongs to one thread, so its events do not overlap. */
static void *call(void *arg)
{
	int first = (long)arg;

	use_cpu(first);
	for (int key = first; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
	     key = (key + THREADS) % PAIRS_KEYS) {
		syscall(SYS_getpgid, PAIRS_MAGIC + key);
		calls[key]++;
	}
	return NULL;
}

static int attach(void *ctx)
{
	FIXTURE_DATA(pairs) *self = ctx;

	self->new->links.new_event = bpf_program__attach(self->new->progs.new_event);
	wait_for(&self->old->bss->events, LEAST);
	return self->new->links.new_event ? 0 : -errno;
}

static int detach(void *ctx)
{
	FIXTURE_DATA(pairs) *self = ctx;

	wait_for(&self->new->bss->events, LEAST);
	bpf_link__destroy(self->old->links.old_event);
	self->old->links.old_event = NULL;
	return 0;
}

TEST_F_TIMEOUT(pairs, switch_at_once, 2 * SECONDS)
{
	struct wide_count total;
	pthread_t threads[THREADS];
	__u64 flow, sum = 0;

	self->opts.replace_old = NULL;
	self->opts.attach_new = attach;
	self->opts.detach_old = detach;
	ASSERT_EQ(0, open_new(self));
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	ASSERT_EQ(0, upgrade_pairs_old__attach(self->old));
	for (long i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call, (void *)i));
	wait_for(&self->old->bss->events, LEAST);
	EXPECT_EQ(0, upgrade_run(self->upgrade, &self->report))
		TH_LOG("%s", self->report.error);
	wait_for(&self->new->bss->events, LEAST);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);

	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(2 * PAIRS_KEYS, self->report.keys);
	EXPECT_EQ(0, self->old->bss->differed);
	EXPECT_EQ(0, self->new->bss->differed);
	EXPECT_EQ(0, self->new->bss->failed);
	for (__u32 key = 0; key < PAIRS_KEYS; key++) {
		struct wide_key wide = { .key = key };

		flow = total.count = 0;
		bpf_map_lookup_elem(bpf_map__fd(self->new->maps.flows_map), &wide, &flow);
		bpf_map_lookup_elem(bpf_map__fd(self->new->maps.totals_map), &key, &total);
		EXPECT_EQ(calls[key], flow) TH_LOG("flows, key %u", key);
		EXPECT_EQ(calls[key], total.count) TH_LOG("totals, key %u", key);
		sum += calls[key];
	}
	printf("# %llu events, %llu by the new version\n", sum, self->new->bss->events);
}

/* A name without an old map: that map is as if there were nothing to upgrade from. */
TEST_F_TIMEOUT(pairs, one_of_them, SECONDS)
{
	__u32 key = 1;
	__u64 value = 5;
	struct wide_key wide = { .key = key };
	struct wide_count total = { .count = 7 };

	ASSERT_EQ(0, bpf_map_update_elem(self->old_maps[0].fd, &key, &value, BPF_ANY));
	self->opts.nr_old_maps = 1;
	ASSERT_EQ(0, open_new(self));
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	EXPECT_EQ(0, upgrade_run(self->upgrade, &self->report))
		TH_LOG("%s", self->report.error);
	EXPECT_EQ(1, self->report.keys);
	EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(self->new->maps.flows_map), &wide, &value));
	EXPECT_EQ(5, value);
	EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(self->new->maps.totals_map), &key, &total));
	EXPECT_EQ(0, total.count);
}

TEST_HARNESS_MAIN
