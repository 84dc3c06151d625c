// SPDX-License-Identifier: GPL-2.0-only
/*
 * An XDP program that tracks connections in a full LRU map is replaced while packets
 * arrive on two CPUs: none is dropped, and none is judged by an older state. Beside it,
 * no upgrade at all, and the naive way: copy, switch, and copy again what differs.
 */
#include <errno.h>
#include "bpf_harness.h"
#include "upgrade.h"
#include "upgrade_conntrack.h"
#include "upgrade_conntrack_new.skel.h"
#include "upgrade_conntrack_old.skel.h"
#include "upgrade_traffic.h"

#define LOOPBACK 1		/* its ifindex */
#define BEFORE 8192		/* packets before the upgrade, and after it */
#define RARE 32			/* one in so many is of a new flow */

FIXTURE(conntrack)
{
	struct traffic traffic;
	struct upgrade_conntrack_old *old;
	struct upgrade_conntrack_new *new;
	struct upgrade *upgrade;
	struct upgrade_report report;
	struct bpf_link *link;
};

FIXTURE_VARIANT(conntrack)
{
	int (*upgrade)(FIXTURE_DATA(conntrack) *self);
	bool upgrades, errs;
};

static int replace(void *ctx)
{
	FIXTURE_DATA(conntrack) *self = ctx;

	return bpf_link__update_program(self->link, self->new->progs.track);
}

static int no_upgrade(FIXTURE_DATA(conntrack) *self)
{
	return 0;
}

static int by_the_library(FIXTURE_DATA(conntrack) *self)
{
	LIBBPF_OPTS(upgrade_opts, opts, .old_map_fd = bpf_map__fd(self->old->maps.old_map),
		    .replace_old = replace, .ctx = self, .max_owned = 1 << 17);

	self->report.sz = sizeof(self->report);
	return upgrade_open(self->new->obj, &opts, &self->upgrade) ?:
	       upgrade_conntrack_new__load(self->new) ?:
	       upgrade_run(self->upgrade, &self->report);
}

/* Make what is in the old map equal in the new one. */
static int copy(FIXTURE_DATA(conntrack) *self)
{
	static struct ct_old_value values[CT_ENTRIES];
	static struct ct_old_key keys[CT_ENTRIES];
	int new = bpf_map__fd(self->new->maps.new_map), err;
	__u32 count = CT_ENTRIES, token;

	err = bpf_map_lookup_batch(bpf_map__fd(self->old->maps.old_map), NULL, &token, keys,
				   values, &count, NULL);
	if (err && err != -ENOENT)
		return err;
	for (__u32 i = 0; i < count; i++) {
		struct ct_new_value value = { values[i].packets }, there;
		struct ct_new_key key = { .proto = CT_TCP };

		memcpy(&key, &keys[i], sizeof(keys[i]));
		if ((bpf_map_lookup_elem(new, &key, &there) ||
		     there.packets != value.packets) &&
		    bpf_map_update_elem(new, &key, &value, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int naive(FIXTURE_DATA(conntrack) *self)
{
	return upgrade_conntrack_new__load(self->new) ?: copy(self) ?: replace(self) ?: copy(self);
}

FIXTURE_VARIANT_ADD(conntrack, no_upgrade) { .upgrade = no_upgrade };
FIXTURE_VARIANT_ADD(conntrack, library) {
	.upgrade = by_the_library, .upgrades = true,
};
FIXTURE_VARIANT_ADD(conntrack, naive) {
	.upgrade = naive, .upgrades = true, .errs = true,
};

FIXTURE_SETUP(conntrack)
{
	struct upgrade_wire *wire = upgrade_wire__open_and_load();

	libbpf_set_print(print_warnings);
	self->traffic.wire = wire;
	self->old = upgrade_conntrack_old__open_and_load();
	self->new = upgrade_conntrack_new__open();
	ASSERT_NE(NULL, wire);
	ASSERT_NE(NULL, self->old);
	self->link = bpf_program__attach_xdp(self->old->progs.track, LOOPBACK);
	wire->links.receive = bpf_program__attach_tcx(wire->progs.receive, LOOPBACK, NULL);
	ASSERT_NE(NULL, self->link);
	ASSERT_NE(NULL, wire->links.receive);
	/* Fill the map with others, then have it know the known ones. */
	ASSERT_EQ(0, traffic_send(&self->traffic, 0, CT_LIVE, 1, 2 * CT_ENTRIES));
	ASSERT_EQ(0, traffic_send(&self->traffic, CT_LIVE, CT_IDLE, 0, CT_IDLE));
	ASSERT_EQ(0, traffic_send(&self->traffic, 0, CT_LIVE, RARE, 4 * CT_LIVE));
	memset(&wire->bss->counts, 0, sizeof(wire->bss->counts));
	memset(wire->bss->sent, 0, sizeof(wire->bss->sent));
}

FIXTURE_TEARDOWN(conntrack)
{
	bpf_link__destroy(self->link);
	upgrade_close(self->upgrade);
	upgrade_conntrack_new__destroy(self->new);
	upgrade_conntrack_old__destroy(self->old);
	upgrade_wire__destroy(self->traffic.wire);
}

TEST_F_TIMEOUT(conntrack, packets, SECONDS)
{
	__u64 live, new_flows, sent, evictions = 128 * libbpf_num_possible_cpus();
	struct ct_counts *counts = &self->traffic.wire->bss->counts;

	traffic_start(&self->traffic, 0, CT_LIVE, RARE, FOREVER);
	traffic_wait(&self->traffic, BEFORE);
	new_flows = counts->new_flows;
	EXPECT_EQ(0, variant->upgrade(self)) TH_LOG("%s", self->report.error);
	traffic_wait(&self->traffic, BEFORE);
	EXPECT_EQ(0, traffic_stop(&self->traffic));
	new_flows = counts->new_flows - new_flows;
	live = counts->forgotten;
	EXPECT_EQ(0, traffic_send(&self->traffic, CT_LIVE, CT_IDLE, 0, CT_IDLE));
	sent = traffic_sent(&self->traffic);

	printf("# %llu packets, %llu passed, %llu by the old and %llu by the new version\n",
	       sent, counts->passed, counts->by_old, counts->by_new);
	printf("# forgotten: %llu live flows, %llu idle ones; %llu resurrected, %llu stale\n",
	       live, counts->forgotten - live, counts->resurrected, counts->stale);
	printf("# %llu new flows meanwhile, %llu evicted, window %llu ms\n",
	       new_flows, self->report.evicted, self->report.window_ns / 1000000);
	EXPECT_EQ(sent, counts->passed) TH_LOG("dropped");
	EXPECT_EQ(sent, counts->by_old + counts->by_new);
	EXPECT_EQ(variant->upgrades, counts->by_new > 0);
	EXPECT_EQ(variant->errs, counts->resurrected + counts->stale > 0);
	if (variant->errs)
		return;
	/* What README.md says about eviction; each new flow may evict another one. */
	EXPECT_GE(variant->upgrades ? evictions + new_flows : 0, counts->forgotten);
	if (variant->upgrades)
		EXPECT_LE(CT_ENTRIES - evictions, self->report.keys) TH_LOG("not full");
}

TEST_HARNESS_MAIN
