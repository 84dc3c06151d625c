// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two maps of one program are upgraded in one switch: what is true of both of them
 * together in the old version is true in each event of the new one.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "bpf_harness.h"
#include "upgrade_pairs.h"
#include "upgrade_reason.h"
#include "upgrade_wide.h"
#include "upgrade_pairs.skel.h"
#include "upgrade_pairs_old.skel.h"

#define THREADS 2
#define LEAST 200		/* events before the switch, and after it */

FIXTURE(pairs)
{
	struct upgrade_old_map old_maps[2];
	struct upgrade_opts opts;
	struct upgrade_report report;
	struct upgrade_pairs_old *old;
	struct upgrade_pairs *new;
	struct upgrade *upgrade;
	pthread_t threads[THREADS];
};

static __u64 calls[PAIRS_KEYS];
static int stop;

/* Each key belongs to one thread, so its events do not overlap. */
static void *call(void *arg)
{
	int first = (long)arg;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(first, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (int key = first; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST);
	     key = (key + THREADS) % PAIRS_KEYS) {
		syscall(SYS_getpgid, PAIRS_MAGIC + key);
		calls[key]++;
	}
	return NULL;
}

static void wait_for(const __u64 *events)
{
	__u64 least = __atomic_load_n(events, __ATOMIC_SEQ_CST) + LEAST;

	while (__atomic_load_n(events, __ATOMIC_SEQ_CST) < least)
		usleep(1000);
}

static int attach(void *ctx)
{
	FIXTURE_DATA(pairs) *self = ctx;

	self->new->links.new_event = bpf_program__attach(self->new->progs.new_event);
	wait_for(&self->old->bss->events);
	return self->new->links.new_event ? 0 : -errno;
}

static int detach(void *ctx)
{
	FIXTURE_DATA(pairs) *self = ctx;

	wait_for(&self->new->bss->events);
	bpf_link__destroy(self->old->links.old_event);
	self->old->links.old_event = NULL;
	return 0;
}

static int nothing(void *ctx)
{
	return 0;
}

static int open_new(FIXTURE_DATA(pairs) *self)
{
	self->new = upgrade_pairs__open();
	return open_upgrade(self->new->obj, &self->opts, &self->upgrade);
}

FIXTURE_SETUP(pairs)
{
	libbpf_set_print(print_warnings);
	self->old = upgrade_pairs_old__open_and_load();
	ASSERT_NE(NULL, self->old);
	self->old_maps[0].name = "flows";
	self->old_maps[0].fd = bpf_map__fd(self->old->maps.flows);
	self->old_maps[1].name = "totals";
	self->old_maps[1].fd = bpf_map__fd(self->old->maps.totals);
	self->opts = (struct upgrade_opts){
		.sz = sizeof(self->opts), .attach_new = attach, .detach_old = detach,
		.ctx = self, .old_maps = self->old_maps, .nr_old_maps = 2,
	};
	self->report.sz = sizeof(self->report);
}

FIXTURE_TEARDOWN(pairs)
{
	upgrade_close(self->upgrade);
	upgrade_pairs__destroy(self->new);
	upgrade_pairs_old__destroy(self->old);
}

TEST_F_TIMEOUT(pairs, switch_at_once, 2 * SECONDS)
{
	struct wide_count total;
	__u64 flow, sum = 0;

	ASSERT_EQ(0, open_new(self));
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	ASSERT_EQ(0, upgrade_pairs_old__attach(self->old));
	for (long i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, call, (void *)i));
	wait_for(&self->old->bss->events);
	EXPECT_EQ(0, upgrade_run(self->upgrade, &self->report))
		TH_LOG("%s", self->report.error);
	wait_for(&self->new->bss->events);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		pthread_join(self->threads[i], NULL);

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
	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->opts.replace_old = nothing;
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

TEST_F(pairs, no_such_name)
{
	char error[128] = "";

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->old_maps[1].name = "sums";
	EXPECT_EQ(-ENOENT, open_new(self));
	EXPECT_STREQ("the object does not include upgrade.bpf.h as sums", error);
}

TEST_F(pairs, not_to_be_told_apart)
{
	char error[128] = "";

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->old_maps[1] = self->old_maps[0];
	EXPECT_EQ(-EINVAL, open_new(self));
	EXPECT_STREQ("opts.old_maps has flows twice", error);
	upgrade_pairs__destroy(self->new);
	self->opts.nr_old_maps = 1;
	self->opts.old_map_fd = self->old_maps[0].fd;
	EXPECT_EQ(-EINVAL, open_new(self));
	EXPECT_STREQ("opts has both old_map_fd and old_maps", error);
	upgrade_pairs__destroy(self->new);
	self->opts.old_map_fd = 0;
	self->opts.nr_old_maps = 0;
	EXPECT_EQ(-EINVAL, open_new(self));
	EXPECT_STREQ("opts.old_maps and opts.nr_old_maps belong together", error);
}

TEST_F(pairs, no_new_map_for_both)
{
	struct upgrade_pair_config *config;
	char error[128] = "";
	size_t size;

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->new = upgrade_pairs__open();
	config = bpf_map__initial_value(self->new->maps.rodata_totals, &size);
	strcpy(config->new_map, "flows_map");
	EXPECT_EQ(-EINVAL, open_upgrade(self->new->obj, &self->opts, &self->upgrade));
	EXPECT_STREQ("flows and totals have a map in common", error);
}

/* The library does not use the descriptors of its caller, who may close them. */
TEST_F_TIMEOUT(pairs, old_descriptors_are_closed, SECONDS)
{
	__u32 key = 1;
	__u64 value = 5;

	for (int i = 0; i < 2; i++)
		self->old_maps[i].fd = dup(self->old_maps[i].fd);
	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->opts.replace_old = nothing;
	ASSERT_EQ(0, open_new(self));
	for (int i = 0; i < 2; i++)
		close(self->old_maps[i].fd);
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	EXPECT_EQ(0, upgrade_run(self->upgrade, &self->report))
		TH_LOG("%s", self->report.error);
	EXPECT_EQ(-EPERM, bpf_map_update_elem(bpf_map__fd(self->old->maps.totals), &key, &value,
					      BPF_ANY));
}

static struct rlimit files;

/* Called right after the switch: open no more files, so that what follows fails. */
static void forbid_files(void *ctx, enum upgrade_phase phase)
{
	struct rlimit none = files;

	none.rlim_cur = 0;
	if (phase == UPGRADE_SWITCHED)
		setrlimit(RLIMIT_NOFILE, &none);
}

static int resume(FIXTURE_DATA(pairs) *self)
{
	struct upgrade_pairs *dead = self->new;
	struct bpf_map *map, *its = NULL;
	int err;

	upgrade_close(self->upgrade);
	self->upgrade = NULL;
	err = open_new(self);
	/* Not by name: libbpf calls a replaced map as the running one is called. */
	bpf_object__for_each_map(map, self->new->obj) {
		its = bpf_object__next_map(dead->obj, its);
		err = err ?: bpf_map__reuse_fd(map, bpf_map__fd(its));
	}
	err = err ?: upgrade_pairs__load(self->new) ?:
	      upgrade_resume(self->upgrade, &self->report);
	upgrade_pairs__destroy(dead);
	return err;
}

/* The phase is DONE for all maps at once, so none may be left out. */
TEST_F_TIMEOUT(pairs, one_is_not_resumed, SECONDS)
{
	struct wide_count total = {};
	__u32 key = 1;
	__u64 value = 5;

	ASSERT_EQ(0, bpf_map_update_elem(self->old_maps[1].fd, &key, &value, BPF_ANY));
	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->opts.replace_old = nothing;
	self->opts.release_writers = forbid_files;
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &files));
	ASSERT_EQ(0, open_new(self));
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	EXPECT_EQ(-EMFILE, upgrade_run(self->upgrade, &self->report));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	ASSERT_EQ(UPGRADE_SWITCHED, self->report.phase);

	self->opts.release_writers = NULL;
	self->opts.nr_old_maps = 1;
	EXPECT_EQ(-EINVAL, resume(self));
	EXPECT_EQ(UPGRADE_SWITCHED, self->report.phase);
	self->opts.nr_old_maps = 2;
	EXPECT_EQ(0, resume(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	bpf_map_lookup_elem(bpf_map__fd(self->new->maps.totals_map), &key, &total);
	EXPECT_EQ(5, total.count);
}

TEST_HARNESS_MAIN
