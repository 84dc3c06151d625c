// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/*
 * What the markers are attached to: the hooks, or the functions that change maps of the
 * old map's type.
 */
#include <errno.h>
#include <string.h>
#include "parts.h"

#define HOOK "bpf_map_trace_update_elem"

/*
 * All of these are called through pointers or from another file, so they are not inlined
 * unless the kernel is optimized at link time, and they have the map and the key as their
 * first arguments. The exception is BATCH, which deletes what it finds. A change that
 * none of them sees is harmless, like any other that is not reported.
 */
static const struct watched {
	__u32 type;
	const char *function[MARK_BATCH + 1];
} watched[] = {
	{ BPF_MAP_TYPE_ARRAY, {
		[MARK_UPDATE] = "array_map_update_elem",
	} },
	{ BPF_MAP_TYPE_PERCPU_ARRAY, {
		[MARK_UPDATE] = "array_map_update_elem",
		[MARK_ALL_CPUS] = "bpf_percpu_array_update",
	} },
	{ BPF_MAP_TYPE_HASH, {
		[MARK_UPDATE] = "htab_map_update_elem",
		[MARK_DELETE] = "htab_map_delete_elem",
		[MARK_TAKE] = "htab_map_lookup_and_delete_elem",
		[MARK_BATCH] = "htab_map_lookup_and_delete_batch",
	} },
	{ BPF_MAP_TYPE_PERCPU_HASH, {
		[MARK_UPDATE] = "htab_percpu_map_update_elem",
		[MARK_DELETE] = "htab_map_delete_elem",
		[MARK_ALL_CPUS] = "bpf_percpu_hash_update",
		[MARK_TAKE] = "htab_percpu_map_lookup_and_delete_elem",
		[MARK_BATCH] = "htab_percpu_map_lookup_and_delete_batch",
	} },
	{ BPF_MAP_TYPE_LRU_HASH, {
		[MARK_UPDATE] = "htab_lru_map_update_elem",
		[MARK_DELETE] = "htab_lru_map_delete_elem",
		[MARK_TAKE] = "htab_lru_map_lookup_and_delete_elem",
		[MARK_BATCH] = "htab_lru_map_lookup_and_delete_batch",
	} },
	{ BPF_MAP_TYPE_LRU_PERCPU_HASH, {
		[MARK_UPDATE] = "htab_lru_percpu_map_update_elem",
		[MARK_DELETE] = "htab_lru_map_delete_elem",
		[MARK_ALL_CPUS] = "bpf_percpu_hash_update",
		[MARK_TAKE] = "htab_lru_percpu_map_lookup_and_delete_elem",
		[MARK_BATCH] = "htab_lru_percpu_map_lookup_and_delete_batch",
	} },
};

static int watch_functions(struct pair *p)
{
	const struct watched *w = watched;
	int err;

	while (w->type != p->old_type)
		w++;
	for (int i = MARK_UPDATE; i <= MARK_BATCH; i++) {
		bpf_program__set_autoload(p->prog[i], w->function[i]);
		if (!w->function[i])
			continue;
		err = bpf_program__set_attach_target(p->prog[i], 0, w->function[i]);
		if (err)
			return refuse_pair(p, err == -ESRCH ? -EOPNOTSUPP : err,
				      "cannot watch %s instead of the hooks: %s",
				      w->function[i],
				      err == -ESRCH ? "it is not in the kernel's BTF" : strerror(-err));
	}
	return 0;
}

static void find_programs(struct pair *p)
{
	for (int i = 0; i < PROGRAMS; i++) {
		bool gate = i >= GATE_FIRST && i <= PASSED_DELETE;
		bool function = i >= MARK_ALL_CPUS && i <= MARK_BATCH;

		p->prog[i] = pair_program(p, upgrade_programs[i]);
		bpf_program__set_autoload(p->prog[i], !function && (!gate || p->u->gate));
		bpf_program__set_autoattach(p->prog[i], false);
	}
}

int watch_prepare(struct upgrade *u)
{
	int err = -ESRCH;

	u->gate = is_side_by_side(u) && !u->opts.old_decides;
	for_each_pair(p, u)
		find_programs(p);
	if (!u->opts.without_hooks)
		err = bpf_program__set_attach_target(u->pairs->prog[MARK_UPDATE], 0, HOOK);
	u->hooks = !err;
	if (err && err != -ESRCH)
		return refuse(u, err, "cannot look for " HOOK " in the kernel's BTF: %s",
			      strerror(-err));
	if (u->hooks)
		return 0;
	if (u->gate)
		return refuse(u, -EOPNOTSUPP,
			      "without the hook " HOOK ", the old version cannot be kept from changing its map after the switch: only with old_decides, calls_old or replace_old");
	err = 0;
	for_each_pair(p, u)
		err = err ?: watch_functions(p);
	return err;
}
