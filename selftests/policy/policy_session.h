/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One version of the policy: open its object, attach and pin it. The pins are below
 * `root`, see policy_pins.h. All functions return 0 or a negative errno, except
 * where noted.
 */
#ifndef POLICY_SESSION_H
#define POLICY_SESSION_H

#include <stdbool.h>
#include <bpf/libbpf.h>
#include "policy_pins.h"

struct policy_run;

struct session {
	const char *root;
	struct path links;		/* where those of the next version are pinned */
	struct bpf_object *object;
	struct bpf_map *files;
	struct policy_run *run;		/* see policy_upgrade.h */
	bool resuming;
};

/* Open the object of `version`, to be upgraded from version `from`; 0: from none. */
int session_open(struct session *session, int version, int from);

/* Attach the programs, and pin their links and the map in `next`. */
int session_pin(struct session *session);

/* Install version 1. */
int policy_install(const char *root, struct policy_run *run);

/* Return the number of the version in force, and a file descriptor of its map. */
int policy_version(const char *root, int *map_fd);

#endif /* POLICY_SESSION_H */
