// SPDX-License-Identifier: GPL-2.0-only
/* If the new version is meant to outlive its loader, it has to be pinned. */
#include <errno.h>
#include "upgrade_bpffs.h"
#include "upgrade_small.h"

static char folder[] = "/tmp/upgrade_pins.XXXXXX";
static struct bpf_link *link_of_new;

static void attach_idle(FIXTURE_DATA(small) *self)
{
	link_of_new = bpf_program__attach(self->skel->progs.idle);
}

static void attach_and_pin(FIXTURE_DATA(small) *self)
{
	char path[64];

	attach_idle(self);
	snprintf(path, sizeof(path), "%s/idle", folder);
	self->found = bpf_link__pin(link_of_new, path);
}

static int run_with_idle(FIXTURE_DATA(small) *self)
{
	int err;

	self->opts.pins = folder;
	close_new(self);
	err = open_new(self, 2 * ENTRIES);
	bpf_program__set_autoload(self->skel->progs.idle, true);
	err = err ?: upgrade_small__load(self->skel) ?: run(self);
	bpf_link__destroy(link_of_new);
	return err;
}

TEST_F_TIMEOUT(small, links, SECONDS)
{
	ASSERT_EQ(0, mount_bpffs(folder));

	self->on_attach = attach_idle;
	EXPECT_EQ(-ENOENT, run_with_idle(self));
	EXPECT_EQ(UPGRADE_WATCHING, self->report.phase);
	EXPECT_NE(NULL, strstr(self->report.error, "idle is attached but not pinned"))
		TH_LOG("%s", self->report.error);

	self->on_attach = attach_and_pin;
	EXPECT_EQ(0, run_with_idle(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);

	EXPECT_EQ(0, unmount_bpffs(folder));
}

TEST_HARNESS_MAIN
