// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs on several links share a map. They are replaced one by one, and switch at
 * once: until then, the new ones call the old ones.
 */
#include <errno.h>
#include "bpf_harness.h"
#include "upgrade_links.h"
#include "upgrade_progress.h"
#include "upgrade_reason.h"
#include "upgrade_traffic.h"
#include "upgrade_wide.h"
#include "upgrade_links.skel.h"
#include "upgrade_links_old.skel.h"

#define LOOPBACK 1		/* its ifindex */
#define LEAST 500		/* events at each stage */

FIXTURE(links)
{
	struct sender senders[CT_SENDERS];
	struct upgrade_links_old *old;
	struct upgrade_links *new;
	struct upgrade *upgrade;
	struct upgrade_report report;
	struct bpf_link *link[LINKS];
};

static int attach(void *ctx)
{
	FIXTURE_DATA(links) *self = ctx;
	struct bpf_program *old[] = { self->old->progs.old_first, self->old->progs.old_second };
	struct bpf_program *new[] = { self->new->progs.new_first, self->new->progs.new_second };
	int programs = bpf_map__fd(self->new->maps.old_programs), err = 0;

	for (__u32 i = 0; !err && i < LINKS; i++) {
		int fd = bpf_program__fd(old[i]);

		err = bpf_map_update_elem(programs, &i, &fd, BPF_ANY) ?:
		      bpf_link__update_program(self->link[i], new[i]);
		wait_for(&self->old->bss->events, LEAST);
	}
	return err;
}

FIXTURE_SETUP(links)
{
	LIBBPF_OPTS(upgrade_opts, opts, .attach_new = attach, .calls_old = true, .ctx = self);

	libbpf_set_print(print_warnings);
	self->report.sz = sizeof(self->report);
	self->old = upgrade_links_old__open_and_load();
	ASSERT_NE(NULL, self->old);
	opts.old_map_fd = bpf_map__fd(self->old->maps.old_map);
	self->new = upgrade_links__open();
	bpf_map__set_max_entries(self->new->maps.new_map, LINKS_KEYS);
	ASSERT_EQ(0, open_upgrade(self->new->obj, &opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_links__load(self->new));
	self->link[0] = bpf_program__attach_tcx(self->old->progs.old_first, LOOPBACK, NULL);
	self->link[1] = bpf_program__attach_tcx(self->old->progs.old_second, LOOPBACK, NULL);
	ASSERT_NE(NULL, self->link[0]);
	ASSERT_NE(NULL, self->link[1]);
}

FIXTURE_TEARDOWN(links)
{
	for (int i = 0; i < LINKS; i++)
		bpf_link__destroy(self->link[i]);
	upgrade_close(self->upgrade);
	upgrade_links__destroy(self->new);
	upgrade_links_old__destroy(self->old);
}

static void start(FIXTURE_DATA(links) *self)
{
	for (int i = 0; i < CT_SENDERS; i++) {
		struct sender *s = &self->senders[i];

		s->prog = self->new->progs.send;
		s->cpu = i;
		s->packets = FOREVER;
		pthread_create(&s->thread, NULL, traffic_run, s);
	}
}

static void stop(FIXTURE_DATA(links) *self)
{
	for (int i = 0; i < CT_SENDERS; i++)
		__atomic_store_n(&self->senders[i].stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < CT_SENDERS; i++)
		pthread_join(self->senders[i].thread, NULL);
}

TEST_F_TIMEOUT(links, switch_at_once, 2 * SECONDS)
{
	start(self);
	wait_for(&self->old->bss->events, LEAST);
	EXPECT_EQ(0, upgrade_run(self->upgrade, &self->report))
		TH_LOG("%s", self->report.error);
	wait_for(&self->new->bss->events, LEAST);
	stop(self);
	EXPECT_EQ(0, self->new->bss->failed);
	/* One key for both links: if they did not switch at once, one of them would lose. */
	for (__u32 cpu = 0; cpu < CT_SENDERS; cpu++) {
		struct wide_key key = { .key = cpu };
		__u64 count = 0;

		EXPECT_EQ(0, self->senders[cpu].err);
		bpf_map_lookup_elem(bpf_map__fd(self->new->maps.new_map), &key, &count);
		EXPECT_EQ(LINKS * self->new->bss->sent[cpu], count) TH_LOG("CPU %u", cpu);
	}
	printf("# %llu events by the old version, %llu by the new one\n",
	       self->old->bss->events, self->new->bss->events);
}

TEST_HARNESS_MAIN
