/* SPDX-License-Identifier: GPL-2.0-only */
/* An upgrade of two maps; as it is, nothing changes them. */
#ifndef UPGRADE_PAIRS_FIXTURE_H
#define UPGRADE_PAIRS_FIXTURE_H

#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade_pairs.h"
#include "upgrade_reason.h"
#include "upgrade_wide.h"
#include "upgrade_pairs.skel.h"
#include "upgrade_pairs_old.skel.h"

#define PAIRS 2

FIXTURE(pairs)
{
	struct upgrade_old_map old_maps[PAIRS];
	struct upgrade_opts opts;
	struct upgrade_report report;
	struct upgrade_pairs_old *old;
	struct upgrade_pairs *new;
	struct upgrade *upgrade;
};

static inline int nothing(void *ctx)
{
	return 0;
}

static inline int open_new(FIXTURE_DATA(pairs) *self)
{
	self->new = upgrade_pairs__open();
	return open_upgrade(self->new->obj, &self->opts, &self->upgrade);
}

FIXTURE_SETUP(pairs)
{
	libbpf_set_print(print_warnings);
	self->old = upgrade_pairs_old__open_and_load();
	ASSERT_NE(NULL, self->old);
	self->old_maps[0].name = "flows";
	self->old_maps[0].fd = bpf_map__fd(self->old->maps.flows);
	self->old_maps[1].name = "totals";
	self->old_maps[1].fd = bpf_map__fd(self->old->maps.totals);
	self->opts = (struct upgrade_opts){
		.sz = sizeof(self->opts), .ctx = self, .replace_old = nothing,
		.old_maps = self->old_maps, .nr_old_maps = PAIRS,
	};
	self->report.sz = sizeof(self->report);
}

FIXTURE_TEARDOWN(pairs)
{
	upgrade_close(self->upgrade);
	upgrade_pairs__destroy(self->new);
	upgrade_pairs_old__destroy(self->old);
}

#endif /* UPGRADE_PAIRS_FIXTURE_H */
