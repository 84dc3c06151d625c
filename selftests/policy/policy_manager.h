/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Installs and upgrades the policy, whose pins are below `root` (policy_pins.h).
 * All functions return 0 or a negative errno.
 */
#ifndef POLICY_MANAGER_H
#define POLICY_MANAGER_H

#include <stdatomic.h>
#include "upgrade.h"

/* The points of an upgrade. */
enum policy_stage {
	STAGE_BEGUN,
	STAGE_CLEANED,		/* what a killed upgrade left is gone */
	STAGE_LOADED,
	STAGE_ATTACHED,		/* the new version is attached, inert */
	STAGE_PINNED,		/* and its maps and links are pinned in `next` */
	STAGE_SWITCHED,		/* the new version decides */
	STAGE_COMMITTED,	/* and `next` has become `current` */
	STAGE_DETACHED,		/* the old version is gone */
	STAGE_SETTLED,		/* the new map is complete, the proof begins */
	STAGE_PROVED,		/* the library is done */
	STAGE_FINISHED,
	STAGES
};

/* What an upgrade tells, in memory shared with the test. */
struct policy_run {
	int kill_at;		/* the stage at which it kills itself; -1: none */
	_Atomic int stage;	/* the last one reached */
	_Atomic int resumed;	/* it has finished an upgrade that had been killed */
	struct upgrade_report report;
};

/* Install version 1. */
int policy_install(const char *root, struct policy_run *run);

/* Replace the version in force by its successor: 1, 2, 3, 2, 3, 2, ... */
int policy_upgrade(const char *root, struct policy_run *run);

/* The first step of an upgrade: undo or finish what a killed one left. */
int policy_clean(const char *root, struct policy_run *run);

/* Version 1 to 2 without the library: copy the map, then exchange programs. */
int policy_naive(const char *root, struct policy_run *run);

/* The number of the version in force, and a file descriptor for its map. */
int policy_version(const char *root, int *map_fd);

#endif
