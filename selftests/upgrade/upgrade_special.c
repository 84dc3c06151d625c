// SPDX-License-Identifier: GPL-2.0-only
/* New values can have locks and timers, which are not compared, nor overwritten. */
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

TEST(lock_and_timer)
{
	int old = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, 8, NULL);
	struct upgrade_special *skel = upgrade_special__open();
	struct upgrade_opts opts = {
		.sz = sizeof(opts),
		.old_map_fd = old, .attach_new = attach, .detach_old = detach, .ctx = skel,
	};
	struct { __u32 lock, count; __u64 timer[2], sum; } value;
	struct upgrade_report report = { .sz = sizeof(report) };
	struct upgrade *upgrade;

	libbpf_set_print(print_warnings);
	for (__u32 key = 1; key <= 3; key++) {
		__u64 sum = 10 * key;

		ASSERT_EQ(0, bpf_map_update_elem(old, &key, &sum, BPF_ANY));
	}
	ASSERT_EQ(0, upgrade_open(skel->obj, &opts, &upgrade));
	ASSERT_EQ(0, upgrade_special__load(skel));
	EXPECT_EQ(0, upgrade_run(upgrade, &report)) TH_LOG("%s", report.error);
	for (__u32 key = 1; key <= 3; key++) {
		EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(skel->maps.new_map), &key, &value));
		EXPECT_EQ(key == 2 ? 2 : 1, value.count);
		EXPECT_EQ(key == 2 ? 25 : 10 * key, value.sum);
	}
	EXPECT_EQ(1, run_program(skel->progs.has_timer));
	upgrade_close(upgrade);
	upgrade_special__destroy(skel);
	close(old);
}

TEST_HARNESS_MAIN
