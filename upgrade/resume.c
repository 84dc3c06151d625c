// SPDX-License-Identifier: GPL-2.0-only
/* Finish the upgrade of a process that died. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include "parts.h"

/* Add the new keys that upgrade_list_batch has in its map to the known ones. */
static int list_batch(struct upgrade *u, __u32 count)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	u->state->batch = count;
	err = bpf_prog_test_run_opts(bpf_program__fd(u->prog[LIST_BATCH]), &opts);
	for (__u32 i = 0; !err && i < count; i++)
		err = keyset_add(&u->known, u->batch + i * u->stride);
	return err;
}

/*
 * List all keys of the new map while the new version changes it. An iterator can
 * miss elements even if they do not change. A batch cannot: each bucket is copied
 * under its lock.
 */
static int list_new(struct upgrade *u)
{
	struct bpf_map *map = bpf_object__find_map_by_name(u->obj, "upgrade_new_keys");
	size_t size = bpf_map__key_size(u->new_map), stride = (size + 7) / 8 * 8;
	size_t value = (bpf_map__value_size(u->new_map) + 7) / 8 * 8;
	char *keys = malloc(UPGRADE_BATCH * size), *to, *values;
	__u32 token[64], count, room = UPGRADE_BATCH;	/* the kernel's token is a __u32 */
	void *in = NULL;
	int err, last = 0;

	if (u->percpu)
		value *= libbpf_num_possible_cpus();
	values = malloc(room * value);
	to = mmap(NULL, room * stride, PROT_READ | PROT_WRITE, MAP_SHARED,
		  bpf_map__fd(map), 0);
	err = keys && values && to != MAP_FAILED ? 0 : -ENOMEM;
	while (!err && !last) {
		count = room;
		last = bpf_map_lookup_batch(bpf_map__fd(u->new_map), in, token, keys, values,
					    &count, NULL);
		if (last && last != -ENOENT)
			err = last;
		for (__u32 i = 0; !err && i < count; i++)
			memcpy(to + i * stride, keys + i * size, size);
		err = err ?: list_batch(u, count);
		in = token;
	}
	if (to != MAP_FAILED)
		munmap(to, room * stride);
	free(values);
	free(keys);
	return err ? report_error(u, err, "cannot list the new map") : 0;
}

int upgrade_resume(struct upgrade *u, struct upgrade_report *r)
{
	__u64 began = now();
	int err;

	err = upgrade_begin(u, r);
	if (err)
		return err;
	r->phase = u->state->phase;
	if (r->phase == UPGRADE_DONE)
		return upgrade_end(u, 0);
	if (r->phase < UPGRADE_SWITCHED)
		return report_error(u, -EINVAL, "not switched, so nothing to resume");
	report_phase(u, UPGRADE_SWITCHED);
	/* The list died with the process that made it, so list again. */
	err = upgrade_attach(u, MARK_UPDATE) ?: mover_drain_all(u);
	u->state->unlisted = 0;
	u->state->gate = 0;
	if (!err && !u->no_delete)
		err = list_new(u);
	if (!err)
		err = course_finish(u);
	r->window_ns = now() - began;
	return upgrade_end(u, err);
}
