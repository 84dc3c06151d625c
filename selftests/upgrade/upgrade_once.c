// SPDX-License-Identifier: GPL-2.0-only
/* Each event is handled by one of the two versions, never by both nor by neither. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#include <sys/syscall.h>
#include "bpf_harness.h"
#include "upgrade_once.h"
#include "upgrade_progress.h"
#include "upgrade_reason.h"
#include "upgrade_slow.h"
#include "upgrade_between.skel.h"
#include "upgrade_once.skel.h"

enum { BEFORE = 1, IN_FLIGHT, BOTH_ATTACHED, DETACHED, AFTER };

FIXTURE(once)
{
	struct upgrade_once *skel;
	struct upgrade_between *between;
	struct upgrade *upgrade;
	struct bpf_link *old;
	pthread_t in_flight, last;
	bool slow, overlapped, stays;
	int old_fd;
};

FIXTURE_VARIANT(once)
{
	bool old_decides;
};

FIXTURE_VARIANT_ADD(once, gate) {};
FIXTURE_VARIANT_ADD(once, old_decides) { .old_decides = true };

static void event(__u32 key)
{
	syscall(SYS_getpgid, ONCE_MAGIC + key);
}

static void *event_on_other_cpu(void *key)
{
	use_cpu(1);
	event((long)key);
	return NULL;
}

static int attach(void *ctx)
{
	FIXTURE_DATA(once) *self = ctx;
	struct upgrade_once *skel = self->skel;
	int err = upgrade_between__attach(self->between);

	skel->links.new_event = bpf_program__attach(skel->progs.new_event);
	event(BEFORE);
	return err ?: skel->links.new_event ? 0 : -errno;
}

/* Just before the switch, an event has passed the new version, and is not at the old. */
static int hold(void *ctx)
{
	FIXTURE_DATA(once) *self = ctx;

	pthread_create(&self->in_flight, NULL, event_on_other_cpu, (void *)IN_FLIGHT);
	while (!__atomic_load_n(&self->between->bss->delayed, __ATOMIC_SEQ_CST))
		usleep(1000);
	return 0;
}

/* One event is still in the old version when that is detached. */
static void detach_during_event(FIXTURE_DATA(once) *self)
{
	struct upgrade_once__bss *bss = self->skel->bss;

	/* Detaching the gate would take long, too: emulated CPUs take turns to patch code. */
	bss->slow_old = (struct slow_point){ .cpu = 2, .loops = SLOW_LOOPS, .until = 2 };
	bss->old_result[DETACHED] = 1;
	bss->slow_key = DETACHED;
	pthread_create(&self->last, NULL, event_on_other_cpu, (void *)DETACHED);
	wait_for_total(&bss->slow_reached, 1);
	bpf_link__destroy(self->old);
	self->overlapped = bss->old_result[DETACHED] == 1;
	__sync_fetch_and_add(&bss->slow_reached, 1);
}

static int detach(void *ctx)
{
	FIXTURE_DATA(once) *self = ctx;

	event(BOTH_ATTACHED);
	if (self->stays)
		return -EBUSY;
	if (self->slow)
		detach_during_event(self);
	else
		bpf_link__destroy(self->old);
	self->between->bss->released = 1;
	return 0;
}

FIXTURE_SETUP(once)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts),
		.attach_new = attach, .detach_old = detach, .hold_writers = hold, .ctx = self,
	};
	struct upgrade_once *skel = upgrade_once__open();

	libbpf_set_print(print_warnings);
	use_cpu(0);
	self->old_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, 16, NULL);
	opts.old_map_fd = self->old_fd;
	opts.old_decides = variant->old_decides;
	self->skel = skel;
	ASSERT_EQ(0, open_upgrade(skel->obj, &opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_once__load(skel));
	self->between = upgrade_between__open_and_load();
	ASSERT_NE(NULL, self->between);
	self->between->bss->delay = IN_FLIGHT;
	self->old = bpf_program__attach(skel->progs.old_event);
	ASSERT_NE(NULL, self->old);
}

FIXTURE_TEARDOWN(once)
{
	upgrade_close(self->upgrade);
	upgrade_between__destroy(self->between);
	upgrade_once__destroy(self->skel);
	close(self->old_fd);
}

static bool is_in(int map, __u32 key)
{
	__u64 value;

	return !bpf_map_lookup_elem(map, &key, &value);
}

TEST_F_TIMEOUT(once, by_one_version, SECONDS)
{
	int new = bpf_map__fd(self->skel->maps.new_map);
	__u32 *handled = self->skel->bss->handled;
	struct upgrade_report report = { .sz = sizeof(report) };

	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	pthread_join(self->in_flight, NULL);
	event(AFTER);

	EXPECT_EQ(0, handled[BEFORE]);
	EXPECT_TRUE(is_in(new, BEFORE));
	EXPECT_EQ(0, handled[IN_FLIGHT]);
	EXPECT_TRUE(is_in(new, IN_FLIGHT)) TH_LOG("no version has handled it, or too late");
	EXPECT_EQ(1, handled[BOTH_ATTACHED]);
	EXPECT_EQ(variant->old_decides, is_in(new, BOTH_ATTACHED));
	EXPECT_EQ(variant->old_decides ? 0 : -EPERM,
		  self->skel->bss->old_result[BOTH_ATTACHED]);
	EXPECT_EQ(1, handled[AFTER]);
	EXPECT_FALSE(is_in(new, AFTER));
}

TEST_F_TIMEOUT(once, detached_during_an_event, SECONDS)
{
	int new = bpf_map__fd(self->skel->maps.new_map);
	struct upgrade_report report = { .sz = sizeof(report) };

	ASSERT_LT(1, libbpf_num_possible_cpus()) TH_LOG("the guest needs two CPUs");
	self->slow = true;
	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	ASSERT_TRUE(self->overlapped);
	pthread_join(self->in_flight, NULL);
	pthread_join(self->last, NULL);
	EXPECT_EQ(1, self->skel->bss->handled[DETACHED]);
	EXPECT_EQ(variant->old_decides ? 0 : -EPERM, self->skel->bss->old_result[DETACHED]);
	EXPECT_EQ(variant->old_decides, is_in(new, DETACHED));
}

/* The old version cannot be detached at first. Meanwhile, each event is one version's, too. */
TEST_F_TIMEOUT(once, detached_later, SECONDS)
{
	int new = bpf_map__fd(self->skel->maps.new_map);
	struct upgrade_report report = { .sz = sizeof(report) };
	long *old_result = self->skel->bss->old_result;

	self->stays = true;
	EXPECT_EQ(-EBUSY, upgrade_run(self->upgrade, &report));
	EXPECT_EQ(UPGRADE_SWITCHED, report.phase);
	self->between->bss->released = 1;
	pthread_join(self->in_flight, NULL);
	event(DETACHED);
	EXPECT_EQ(variant->old_decides ? 0 : -EPERM, old_result[DETACHED]);
	self->stays = false;
	EXPECT_EQ(0, upgrade_resume(self->upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(variant->old_decides, is_in(new, BOTH_ATTACHED));
	EXPECT_EQ(variant->old_decides, is_in(new, DETACHED));
	EXPECT_EQ(1, self->skel->bss->handled[DETACHED]);
}

static void fill(int events, __u32 places)
{
	__u64 other = 1;		/* on no stack */

	for (__u32 i = 0; i < places; i++)
		bpf_map_update_elem(events, &i, &other, BPF_ANY);
}

/* Then the old version's changes cannot be told from others, and are not refused. */
TEST_F_TIMEOUT(once, no_room_for_events, SECONDS)
{
	struct bpf_map *events = self->skel->maps.upgrade_events;
	int new = bpf_map__fd(self->skel->maps.new_map);
	struct upgrade_report report = { .sz = sizeof(report) };

	fill(bpf_map__fd(events), bpf_map__max_entries(events));
	EXPECT_EQ(variant->old_decides ? 0 : -EUCLEAN, upgrade_run(self->upgrade, &report))
		TH_LOG("%s", report.error);
	pthread_join(self->in_flight, NULL);
	EXPECT_EQ(!variant->old_decides, report.handled_twice);
	EXPECT_EQ(0, self->skel->bss->old_result[BOTH_ATTACHED]);
	EXPECT_TRUE(is_in(new, BOTH_ATTACHED));
}

TEST_HARNESS_MAIN
