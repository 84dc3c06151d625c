// SPDX-License-Identifier: GPL-2.0-only
/* What the library refuses if there are several maps, and how it finishes their upgrade. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include "upgrade_pairs_fixture.h"

TEST_F(pairs, no_such_name)
{
	char error[128] = "";

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->old_maps[1].name = "sums";
	EXPECT_EQ(-ENOENT, open_new(self));
	EXPECT_STREQ("the object does not include upgrade.bpf.h as sums: set opts.old_maps to what it has",
		     error);
	upgrade_pairs__destroy(self->new);
	self->opts.old_maps = NULL;
	self->opts.nr_old_maps = 0;
	self->opts.old_map_fd = self->old_maps[0].fd;
	EXPECT_EQ(-ENOENT, open_new(self));
	EXPECT_STREQ("the object does not include upgrade.bpf.h as upgrade: set opts.old_maps to what it has",
		     error);
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

/* A reason says which of the maps it is about. */
TEST_F_TIMEOUT(pairs, one_is_too_small, SECONDS)
{
	char error[128] = "";
	__u64 value = 5;

	for (__u32 key = 0; key < 2; key++)
		ASSERT_EQ(0, bpf_map_update_elem(self->old_maps[0].fd, &key, &value, BPF_ANY));
	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	self->new = upgrade_pairs__open();
	bpf_map__set_max_entries(self->new->maps.totals_map, 1);
	EXPECT_EQ(-E2BIG, open_upgrade(self->new->obj, &self->opts, &self->upgrade));
	EXPECT_STREQ("totals: totals_map is smaller than the old array of 64", error);
	upgrade_pairs__destroy(self->new);

	self->new = upgrade_pairs__open();
	bpf_map__set_max_entries(self->new->maps.flows_map, 1);
	ASSERT_EQ(0, open_upgrade(self->new->obj, &self->opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_pairs__load(self->new));
	EXPECT_EQ(-E2BIG, upgrade_run(self->upgrade, &self->report));
	EXPECT_STREQ("flows: the new map refused 1 elements", self->report.error);
}

/* The library does not use the descriptors of its caller, who may close them. */
TEST_F_TIMEOUT(pairs, old_descriptors_are_closed, SECONDS)
{
	__u32 key = 1;
	__u64 value = 5;

	for (int i = 0; i < 2; i++)
		self->old_maps[i].fd = dup(self->old_maps[i].fd);
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
