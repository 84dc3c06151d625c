// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "policy.h"
#include "policy_naive.h"
#include "policy_pins.h"

#define NAIVE_US 200000	/* between copy and exchange, as on a loaded machine */

int policy_naive(const char *root, struct policy_run *run)
{
	struct session session = { .root = root, .run = run };
	struct key_v1 key, *previous = NULL;
	struct value_v1 value;
	int old, err;

	if (policy_version(root, &old) != 1)
		return -EINVAL;
	err = session_open(&session, 2, 1) ?: bpf_object__load(session.object);
	while (!err && !bpf_map_get_next_key(old, previous, &key)) {
		struct key_v2 new_key = POLICY_KEY_V2(key.pid, key.fd);
		struct value_v2 new_value;

		previous = &key;
		if (bpf_map_lookup_elem(old, &key, &value))
			continue;
		new_value.ino = value.ino;
		err = bpf_map_update_elem(bpf_map__fd(session.files), &new_key, &new_value,
					  BPF_ANY);
	}
	usleep(NAIVE_US);
	err = err ?: session_pin(&session) ?: pins_exchange(root) ?:
	      pins_remove(PATH(root, "next"));
	return err;
}
