// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>
#include <bpf/bpf.h>
#include "policy.h"
#include "policy_judge.h"
#include "policy_pins.h"
#include "policy_session.h"

/*
 * Does the map have an entry for the descriptor, with the right file? And unless
 * `recorder` is 0, was that recorded by this version of the policy?
 */
static bool is_recorded(int map, int version, __u32 pid, const struct slot *slot,
			__u32 recorder)
{
	union { struct key_v1 v1; struct key_v2 v2; struct key_v3 v3; } key;
	union { struct value_v1 v1; struct value_v2 v2; struct value_v3 v3; } value;
	__u32 ino, by;

	if (version == 1)
		key.v1 = POLICY_KEY_V1(pid, slot->fd);
	else if (version == 2)
		key.v2 = POLICY_KEY_V2(pid, slot->fd);
	else
		key.v3 = POLICY_KEY_V3(pid, slot->fd);
	if (bpf_map_lookup_elem(map, &key, &value))
		return false;
	ino = version == 3 ? value.v3.ino : version == 2 ? value.v2.ino : value.v1.ino;
	by = version == 3 ? value.v3.version : version == 2 ? value.v2.version : 1;
	return ino == slot->ino && (!recorder || by == recorder);
}

static int count_entries(int map)
{
	__u64 key;
	int count;

	for (count = 0; !bpf_map_get_next_key(map, count ? &key : NULL, &key); count++)
		;
	return count;
}

struct verdict policy_judge(const char *root, struct workload *workload,
			    const char *members)
{
	struct verdict v = {};
	int map;

	workload_change(workload, WORKER_REST);
	v.sum = workload_sum(workload);
	v.strays = pins_strays(root);
	v.version = policy_version(root, &map);
	for (int i = 0; i < WORKERS * SLOTS; i++) {
		struct worker *w = &workload->workers[i / SLOTS];
		struct slot *slot = &w->slots[i % SLOTS];

		if (slot->fd < 0)
			continue;
		v.open++;
		/* What stayed open was opened under version 1, and is recorded so. */
		v.lost += !is_recorded(map, v.version, w->pid, slot,
				       i % SLOTS < ALWAYS_OPEN);
	}
	v.leaked = count_entries(map) - (v.open - v.lost);
	workload_change(workload, WORKER_EXIT);
	workload_end(workload, members);
	v.leaked += count_entries(map);
	close(map);
	return v;
}
