// SPDX-License-Identifier: GPL-2.0-only
/*
 * New values can have locks, timers, lists and the like, which are not compared, nor
 * overwritten: eight of them, and none in a per-CPU map.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade.h"
#include "upgrade_special.skel.h"

static int run_program(struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) ?: (int)opts.retval;
}

static int attach(void *ctx)
{
	return 0;
}

static int detach(void *ctx)
{
	struct upgrade_special *skel = ctx;

	return run_program(skel->progs.new_op);
}

FIXTURE(special)
{
	struct upgrade_special *skel;
	struct upgrade_opts opts;
	struct upgrade *upgrade;
	char error[128];
};

FIXTURE_SETUP(special)
{
	libbpf_set_print(print_warnings);
	self->skel = upgrade_special__open();
	self->opts = (struct upgrade_opts){
		.sz = sizeof(self->opts), .error = self->error, .error_size = sizeof(self->error),
		.attach_new = attach, .detach_old = detach, .ctx = self->skel,
		.old_map_fd = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, 8, NULL),
	};
	for (__u32 key = 1; key <= 3; key++) {
		__u64 sum = 10 * key;

		ASSERT_EQ(0, bpf_map_update_elem(self->opts.old_map_fd, &key, &sum, BPF_ANY));
	}
}

FIXTURE_TEARDOWN(special)
{
	upgrade_close(self->upgrade);
	upgrade_special__destroy(self->skel);
	close(self->opts.old_map_fd);
}

TEST_F(special, eight_fields)
{
	struct { __u32 lock, count; __u64 timer[2], sum, lists[6][2]; } value;
	struct upgrade_report report = { .sz = sizeof(report) };
	struct upgrade_special *skel = self->skel;

	ASSERT_EQ(0, upgrade_open(skel->obj, &self->opts, &self->upgrade))
		TH_LOG("%s", self->error);
	ASSERT_EQ(0, upgrade_special__load(skel));
	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	for (__u32 key = 1; key <= 3; key++) {
		EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(skel->maps.new_map), &key, &value));
		EXPECT_EQ(key == 2 ? 2 : 1, value.count);
		EXPECT_EQ(key == 2 ? 25 : 10 * key, value.sum);
	}
	EXPECT_EQ(1, run_program(skel->progs.has_timer));
}

TEST_F(special, nine_fields)
{
	struct upgrade_pair_config *config;
	size_t size;

	config = bpf_map__initial_value(self->skel->maps.rodata_upgrade, &size);
	strcpy(config->new_map, "nine_map");
	config->new_value_size = bpf_map__value_size(self->skel->maps.nine_map);
	EXPECT_EQ(-E2BIG, upgrade_open(self->skel->obj, &self->opts, &self->upgrade));
	EXPECT_STREQ("more than 8 locks, timers or the like in a value", self->error);
}

TEST_F(special, per_cpu)
{
	close(self->opts.old_map_fd);
	self->opts.old_map_fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_HASH, "old_map", 4, 8, 8, NULL);
	bpf_map__set_type(self->skel->maps.new_map, BPF_MAP_TYPE_PERCPU_HASH);
	EXPECT_EQ(-EINVAL, upgrade_open(self->skel->obj, &self->opts, &self->upgrade));
	EXPECT_STREQ("locks, timers or the like in a per-CPU value", self->error);
}

TEST_HARNESS_MAIN
