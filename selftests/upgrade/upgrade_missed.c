// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel skips a run of the new version while the old one is still attached: the
 * upgrade says so, even if it is killed then.
 */
#include <errno.h>
#include "upgrade_bpffs.h"
#include "upgrade_small.h"

static void attach_nested(FIXTURE_DATA(small) *self)
{
	struct bpf_link *link = bpf_program__attach(self->skel->progs.nested);
	char path[64];

	snprintf(path, sizeof(path), "%s/nested", self->opts.pins ?: "");
	self->found = !link || (self->opts.pins && bpf_link__pin(link, path));
}

static void miss(FIXTURE_DATA(small) *self)
{
	__u32 zero = 0;

	self->skel->bss->nests = 1;
	bpf_map_update_elem(bpf_map__fd(self->skel->maps.nested_map), &zero, &zero, BPF_ANY);
}

static void miss_and_die(FIXTURE_DATA(small) *self)
{
	miss(self);
	die(self);
}

static int reopen_with_nested(FIXTURE_DATA(small) *self)
{
	int err;

	close_new(self);
	err = open_new(self, 2 * ENTRIES);
	bpf_program__set_autoload(self->skel->progs.nested, true);
	err = err ?: upgrade_small__load(self->skel);
	self->new = bpf_map__fd(self->skel->maps.new_map);
	self->on_attach = attach_nested;
	return err;
}

/* It is said each time, by whatever process. */
TEST_F_TIMEOUT(small, is_reported, SECONDS)
{
	ASSERT_EQ(0, reopen_with_nested(self));
	self->on_detach = miss;
	EXPECT_EQ(-EUCLEAN, run(self));
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(1, self->report.missed_events);
	EXPECT_NE(NULL, strstr(self->report.error, "1 events missed")) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-EUCLEAN, upgrade_resume(self->upgrade, &self->report));
	EXPECT_EQ(1, self->report.missed_events);
	EXPECT_EQ(-EUCLEAN, resume(self));
	EXPECT_EQ(1, self->report.missed_events);
}

/* Then the old version handles the event, whatever the new one does. */
TEST_F_TIMEOUT(small, before_the_switch, SECONDS)
{
	ASSERT_EQ(0, reopen_with_nested(self));
	self->on_hold = miss;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, self->skel->bss->nests);
	EXPECT_EQ(0, self->report.missed_events);
}

static int killed_and_resumed(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self)
{
	char folder[] = "/tmp/upgrade_missed.XXXXXX", path[64];
	int err;

	ASSERT_EQ(0, mount_bpffs(folder));
	self->opts.pins = folder;
	ASSERT_EQ(0, reopen_with_nested(self));
	run_and_die(_metadata, self);
	err = resume(self);
	EXPECT_EQ(UPGRADE_DONE, self->report.phase) TH_LOG("%s", self->report.error);
	snprintf(path, sizeof(path), "%s/nested", folder);
	EXPECT_EQ(0, unlink(path));
	EXPECT_EQ(0, unmount_bpffs(folder));
	return err;
}

TEST_F_TIMEOUT(small, killed, SECONDS)
{
	self->on_detach = miss_and_die;
	EXPECT_EQ(-EUCLEAN, killed_and_resumed(_metadata, self));
	EXPECT_EQ(1, self->report.missed_events);
}

TEST_F_TIMEOUT(small, killed_with_nothing_missed, SECONDS)
{
	self->on_detach = die;
	EXPECT_EQ(0, killed_and_resumed(_metadata, self)) TH_LOG("%s", self->report.error);
}

/* Then nobody can tell. */
TEST_F_TIMEOUT(small, killed_without_pins, SECONDS)
{
	ASSERT_EQ(0, reopen_with_nested(self));
	self->on_detach = die;
	run_and_die(_metadata, self);
	EXPECT_EQ(-EUCLEAN, resume(self));
	EXPECT_EQ(UPGRADE_DONE, self->report.phase);
	EXPECT_EQ(1, self->report.missed_events);
	EXPECT_NE(NULL, strstr(self->report.error, "did not pin the new version"))
		TH_LOG("%s", self->report.error);
}

/* Where one looks for the new version, there is nothing. */
TEST_F_TIMEOUT(small, killed_and_pinned_elsewhere, SECONDS)
{
	ASSERT_EQ(0, reopen_with_nested(self));
	self->on_hold = miss;
	self->on_detach = die;
	run_and_die(_metadata, self);
	self->opts.pins = "/tmp";
	EXPECT_EQ(-EUCLEAN, resume(self));
	EXPECT_EQ(1, self->report.missed_events);
}

TEST_HARNESS_MAIN
