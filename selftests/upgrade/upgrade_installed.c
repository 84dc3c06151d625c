// SPDX-License-Identifier: GPL-2.0-only
/*
 * Built and linked as a user would: with what `make -C upgrade install` installs, and
 * what pkg-config says about it. Also what that promises for later versions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bpf_harness.h"
#include <bpf-upgrade/upgrade.h>
#include "upgrade_installed.skel.h"

FIXTURE(installed)
{
	struct upgrade_installed *skel;
	struct upgrade *upgrade;
	struct upgrade_opts opts;
	char error[128];
	int old;
};

/* The library uses these names, too, but keeps them to itself. */
int keyset_add(void);
int keyset_add(void)
{
	return 1;
}

int report_error(void);
int report_error(void)
{
	return 1;
}

static int nothing(void *ctx)
{
	return 0;
}

FIXTURE_SETUP(installed)
{
	__u32 key = 1;
	__u64 value = 10;

	libbpf_set_print(print_warnings);
	self->old = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, 4, NULL);
	ASSERT_EQ(0, bpf_map_update_elem(self->old, &key, &value, BPF_ANY));
	self->skel = upgrade_installed__open();
	self->opts = (struct upgrade_opts){
		.sz = sizeof(self->opts), .old_map_fd = self->old,
		.attach_new = nothing, .detach_old = nothing,
		.error = self->error, .error_size = sizeof(self->error),
	};
}

FIXTURE_TEARDOWN(installed)
{
	upgrade_close(self->upgrade);
	upgrade_installed__destroy(self->skel);
	close(self->old);
}

static int open_it(FIXTURE_DATA(installed) *self, const struct upgrade_opts *opts)
{
	return upgrade_open(self->skel->obj, opts, &self->upgrade);
}

TEST_F(installed, upgrades)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	__u32 key = 1;
	__u64 value;

	ASSERT_EQ(0, open_it(self, &self->opts)) TH_LOG("%s", self->error);
	ASSERT_EQ(0, upgrade_installed__load(self->skel));
	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(self->skel->maps.new_map), &key, &value));
	EXPECT_EQ(~10ULL, value);
}

/* A caller that knows fewer members, or more of which it uses none. */
TEST_F(installed, other_sizes)
{
	struct { struct upgrade_opts opts; __u64 later; } newer = { self->opts };
	struct { struct upgrade_report report; __u64 later; } report = { .later = 1 };

	self->opts.sz = 8;
	EXPECT_EQ(-EINVAL, open_it(self, &self->opts));
	EXPECT_STREQ("", self->error);
	self->opts.sz = offsetof(struct upgrade_opts, attach_new);
	EXPECT_EQ(-EINVAL, open_it(self, &self->opts));
	EXPECT_EQ(0, strncmp(self->error, "opts.sz is ", 11)) TH_LOG("%s", self->error);
	self->error[0] = 0;
	newer.opts.sz = sizeof(newer);
	newer.later = 1;
	EXPECT_EQ(-EINVAL, open_it(self, &newer.opts));
	EXPECT_EQ(0, strncmp(self->error, "opts.sz is ", 11)) TH_LOG("%s", self->error);
	newer.later = 0;
	ASSERT_EQ(0, open_it(self, &newer.opts)) TH_LOG("%s", self->error);
	ASSERT_EQ(0, upgrade_installed__load(self->skel));
	EXPECT_EQ(-EINVAL, upgrade_run(self->upgrade, &report.report));
	report.report.sz = sizeof(report);
	EXPECT_EQ(0, upgrade_run(self->upgrade, &report.report));
	EXPECT_EQ(sizeof(report), report.report.sz);
	EXPECT_EQ(0, report.later);
}

/* It says why in the caller's buffer, and prints nothing. */
TEST_F(installed, other_version)
{
	struct upgrade_pair_config *config;
	char file[] = "/tmp/upgrade_stderr.XXXXXX";
	int printed = mkstemp(file);
	size_t size;

	config = bpf_map__initial_value(self->skel->maps.rodata_upgrade, &size);
	config->version++;
	dup2(printed, STDERR_FILENO);
	EXPECT_EQ(-EPROTO, open_it(self, &self->opts));
	EXPECT_STREQ("the object is for another version of the library", self->error);
	EXPECT_EQ(0, lseek(printed, 0, SEEK_END));
	unlink(file);
}

TEST_HARNESS_MAIN
