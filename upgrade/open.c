// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The part of the setup before the object is loaded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "parts.h"

const char *const upgrade_programs[PROGRAMS] = {
	"mark_update", "mark_delete",
	"mark_all_cpus", "mark_take", "mark_batch",
	"gate_update", "gate_delete", "gate_update_2", "gate_delete_2",
	"gate_update_3", "gate_delete_3", "gate_update_4", "gate_delete_4",
	"passed_update", "passed_delete",
	"copy", "batch", "claim",
};

/* Up to the last member of the first version of the library. */
#define OPTS_LEAST (offsetof(struct upgrade_opts, min_passes) + sizeof(__u32))

static int set_size(struct upgrade *u, struct bpf_map *map, __u32 max_entries)
{
	int err = bpf_map__set_max_entries(map, max_entries);

	return err ? refuse(u, err, "cannot set the size of %s: %s", bpf_map__name(map),
			    strerror(-err)) : 0;
}

static int prepare_pair(struct pair *p)
{
	struct upgrade *u = p->u;
	int err = check_maps(p);

	if (err)
		return err;
	err = bpf_map__reuse_fd(p->old_map, p->old_fd);
	if (err)
		return refuse_pair(p, err, "cannot use the old map as %s: %s",
			      bpf_map__name(p->old_map), strerror(-err));
	p->config->percpu = p->percpu;
	p->dirty.key_size = p->config->old_key_size;
	p->stride = (bpf_map__value_size(pair_map(p, "keys")) + 7) / 8 * 8;
	return set_size(u, pair_map(p, "marks"), u->opts.marks_size);
}

/* Is it clear how the new version takes over? */
static bool is_one_way(const struct upgrade_opts *opts)
{
	if (opts->replace_old)
		return !opts->attach_new && !opts->detach_old && !opts->calls_old;
	return opts->attach_new && !opts->detach_old == opts->calls_old;
}

static int prepare(struct upgrade *u)
{
	struct bpf_map *map;
	size_t size;
	int err;

	u->opts.marks_size = u->opts.marks_size ?: 1 << 20;
	u->opts.quiet_keys = u->opts.quiet_keys ?: 64;
	u->opts.max_passes = u->opts.max_passes ?: 16;
	err = pairs_find(u);
	if (err)
		return err;
	if (!is_one_way(&u->opts))
		return refuse(u, -EINVAL, "opts needs attach_new and detach_old, attach_new and calls_old, or replace_old");
	for_each_pair(p, u)
		err = err ?: prepare_pair(p);
	err = err ?: watch_prepare(u);
	if (err)
		return err;
	err = is_side_by_side(u) ? wait_prepare(u) : 0;
	if (err)
		return refuse(u, err, "cannot use tracefs to wait for RCU Tasks: %s", strerror(-err));
	map = bpf_object__find_map_by_name(u->obj, "upgrade_events");
	err = set_size(u, map, u->gate ? UPGRADE_EVENTS : 1) ?: own_prepare(u);
	if (err)
		return err;
	map = bpf_object__find_map_by_name(u->obj, ".rodata.upgrade_enabled");
	*(__u8 *)bpf_map__initial_value(map, &size) = 1;
	for_each_pair(p, u)
		p->config->enabled = 1;
	return 0;
}

bool copy_in(void *to, size_t size, size_t least, const void *from)
{
	size_t from_size = *(const size_t *)from;
	const char *bytes = from;

	if (from_size < least)
		return false;
	for (size_t i = size; i < from_size; i++)
		if (bytes[i])
			return false;
	memset(to, 0, size);
	memcpy(to, from, from_size < size ? from_size : size);
	return true;
}

/* As far as the struct reaches, it tells where to put the reason. */
static void take_error(struct upgrade *u, const struct upgrade_opts *opts)
{
	if (opts->sz >= offsetof(struct upgrade_opts, error_size) + sizeof(opts->error_size)) {
		u->opts.error = opts->error;
		u->opts.error_size = opts->error_size;
	}
}

static int copy_opts(struct upgrade *u, const struct upgrade_opts *opts)
{
	if (copy_in(&u->opts, sizeof(u->opts), OPTS_LEAST, opts))
		return 0;
	take_error(u, opts);
	return refuse(u, -EINVAL, "opts.sz is %zu: less than %zu, or something beyond %zu is set",
		      opts->sz, OPTS_LEAST, sizeof(*opts));
}

int upgrade_open(struct bpf_object *obj, const struct upgrade_opts *opts,
		 struct upgrade **upgrade)
{
	struct upgrade *u = calloc(1, sizeof(*u)), none = {};
	int err;

	if (!u) {
		take_error(&none, opts);
		return refuse(&none, -ENOMEM, "no memory");
	}
	u->obj = obj;
	u->inner_fd = -1;
	u->outer_fd = -1;
	u->instance_fd = -1;
	u->pins_fd = -1;
	err = copy_opts(u, opts) ?: prepare(u);
	if (err) {
		upgrade_close(u);
		return err;
	}
	*upgrade = u;
	return 0;
}
