/* SPDX-License-Identifier: GPL-2.0-only */
/* Upgrades the policy below `root` with the library. */
#ifndef POLICY_UPGRADE_H
#define POLICY_UPGRADE_H

#include <stdatomic.h>
#include "upgrade.h"

/* The steps of an upgrade, in order. */
enum policy_stage {
	STAGE_BEGUN,
	STAGE_CLEANED,		/* what a killed upgrade left is gone */
	STAGE_LOADED,
	STAGE_ATTACHED,		/* the new version is attached but inert */
	STAGE_PINNED,		/* and its maps and links are pinned in `next` */
	STAGE_SWITCHED,		/* the new version decides */
	STAGE_COMMITTED,	/* and `next` has become `current` */
	STAGE_DETACHED,		/* the old version is gone */
	STAGE_SETTLED,		/* the new map is complete, the proof begins */
	STAGE_PROVED,		/* the library is done */
	STAGE_FINISHED,
	STAGES
};

/* What an upgrade reports, in memory shared with the test. */
struct policy_run {
	int kill_at;		/* the stage at which to kill itself; -1: none */
	_Atomic int stage;	/* the last one reached */
	_Atomic int resumed;	/* it finished an upgrade that had been killed */
	struct upgrade_report report;
};

/*
 * Replace the version in force by its successor: 1, 2, 3, 2, 3, 2, ... Returns 0
 * or a negative errno.
 */
int policy_upgrade(const char *root, struct policy_run *run);

/* The first step of an upgrade: undo or finish what a killed one left behind. */
int policy_clean(const char *root, struct policy_run *run);

#endif /* POLICY_UPGRADE_H */
