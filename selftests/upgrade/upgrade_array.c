// SPDX-License-Identifier: GPL-2.0-only
/* An array that is larger in the new version. */
#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade_reason.h"
#include "upgrade_once.h"
#include "upgrade_slow.h"
#include "upgrade_once.skel.h"

#define OLD_ENTRIES 4
#define NEW_ENTRIES 8

FIXTURE(array)
{
	struct upgrade_once *skel;
	struct upgrade *upgrade;
	int old, new;
	bool by_event;
	int result[NEW_ENTRIES];
};

FIXTURE_VARIANT(array)
{
	__u32 type;
};

FIXTURE_VARIANT_ADD(array, array) { .type = BPF_MAP_TYPE_ARRAY };
FIXTURE_VARIANT_ADD(array, percpu_array) { .type = BPF_MAP_TYPE_PERCPU_ARRAY };

static int attach(void *ctx)
{
	return 0;
}

static int set(int map, __u32 key, __u64 value)
{
	__u64 values[libbpf_num_possible_cpus()];

	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		values[i] = value;
	return bpf_map_update_elem(map, &key, values, BPF_ANY);
}

static __u64 get_on(int map, __u32 key, int cpu)
{
	__u64 values[libbpf_num_possible_cpus()];

	return bpf_map_lookup_elem(map, &key, values) ? 0 : values[cpu];
}

static __u64 get(int map, __u32 key)
{
	return get_on(map, key, 0);
}

/* By an event: of a per-CPU map, it changes the element of one CPU. */
static int update(FIXTURE_DATA(array) *self, __u32 key, __u64 value)
{
	struct once_update update = { .key = key, .value = value, .result = 1 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &update, .ctx_size_in = sizeof(update));

	bpf_prog_test_run_opts(bpf_program__fd(self->skel->progs.new_update), &opts);
	return update.result;
}

/* After the switch, while the old map is looked at. */
static int change_all(void *ctx)
{
	FIXTURE_DATA(array) *self = ctx;
	int claim = bpf_program__fd(self->skel->progs.upgrade_claim);

	if (self->by_event) {
		self->result[5] = update(self, 5, 105) ?: update(self, 5, 205);
		return 0;
	}
	for (__u32 key = 1; key < NEW_ENTRIES; key++)
		self->result[key] = upgrade_claim(claim, &key, sizeof(key)) ?:
				    set(self->new, key, 100 + key);
	return 0;
}

FIXTURE_SETUP(array)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts), .attach_new = attach, .detach_old = change_all, .ctx = self,
	};

	libbpf_set_print(print_warnings);
	self->old = bpf_map_create(variant->type, "old_map", 4, 8, OLD_ENTRIES, NULL);
	ASSERT_LE(0, self->old);
	for (__u32 key = 0; key < OLD_ENTRIES; key++)
		ASSERT_EQ(0, set(self->old, key, 10 + key));
	opts.old_map_fd = self->old;
	self->skel = upgrade_once__open();
	bpf_map__set_type(self->skel->maps.old_map, variant->type);
	bpf_map__set_type(self->skel->maps.new_map, variant->type);
	bpf_map__set_max_entries(self->skel->maps.new_map, NEW_ENTRIES);
	bpf_program__set_autoload(self->skel->progs.new_update, true);
	ASSERT_EQ(0, open_upgrade(self->skel->obj, &opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_once__load(self->skel));
	self->new = bpf_map__fd(self->skel->maps.new_map);
}

FIXTURE_TEARDOWN(array)
{
	upgrade_close(self->upgrade);
	upgrade_once__destroy(self->skel);
	close(self->old);
}

TEST_F_TIMEOUT(array, grows, SECONDS)
{
	struct upgrade_report report = { .sz = sizeof(report) };

	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(10, get(self->new, 0));
	for (__u32 key = 1; key < NEW_ENTRIES; key++) {
		EXPECT_EQ(0, self->result[key]);
		EXPECT_EQ(100 + key, get(self->new, key));
	}
}

/* What the loader has put beyond the end of the old array stays, on the other CPUs, too. */
TEST_F_TIMEOUT(array, grows_around_what_is_there, SECONDS)
{
	struct upgrade_report report = { .sz = sizeof(report) };

	use_cpu(0);
	self->by_event = true;
	ASSERT_EQ(0, set(self->new, 5, 55));
	ASSERT_EQ(0, set(self->new, 6, 66));
	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(0, self->result[5]);
	EXPECT_EQ(205, get(self->new, 5));
	EXPECT_EQ(66, get(self->new, 6));
	if (variant->type == BPF_MAP_TYPE_PERCPU_ARRAY && libbpf_num_possible_cpus() > 1)
		EXPECT_EQ(55, get_on(self->new, 5, 1));
}

TEST_HARNESS_MAIN
