/* SPDX-License-Identifier: GPL-2.0-only */
/* A version of the policy while it is installed. Results: 0 or a negative errno. */
#ifndef POLICY_SESSION_H
#define POLICY_SESSION_H

#include "policy_manager.h"
#include "policy_pins.h"

struct session {
	const char *root;
	struct bpf_object *object;
	struct bpf_map *files;
	struct policy_run *run;
	bool resuming;
};

/* Open the object of a version, to be upgraded from another one; 0: from none. */
int session_open(struct session *session, int version, int from);

/* Attach the programs and pin their links and the map, in `next`. */
int session_pin(struct session *session);

#endif
