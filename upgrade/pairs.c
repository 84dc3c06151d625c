// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The maps that an object upgrades, and what the library has for each of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "parts.h"

struct bpf_map *pair_map(const struct pair *p, const char *what)
{
	char name[2 * UPGRADE_NAME_LEN];

	snprintf(name, sizeof(name), "%s_%s", p->name, what);
	return bpf_object__find_map_by_name(p->u->obj, name);
}

struct bpf_program *pair_program(const struct pair *p, const char *what)
{
	char name[2 * UPGRADE_NAME_LEN];

	snprintf(name, sizeof(name), "%s_%s", p->name, what);
	return bpf_object__find_program_by_name(p->u->obj, name);
}

static struct bpf_map *section(const struct pair *p, const char *format)
{
	char name[2 * UPGRADE_NAME_LEN];

	snprintf(name, sizeof(name), format, p->name);
	return bpf_object__find_map_by_name(p->u->obj, name);
}

static int find(struct pair *p, struct upgrade *u, const struct upgrade_old_map *old)
{
	struct bpf_map *map;
	size_t size;

	p->u = u;
	p->old_fd = old->fd;
	p->owners_like = -1;
	if (!old->name)
		return refuse(u, -EINVAL, "an old map has no name");
	if (snprintf(p->name, sizeof(p->name), "%s", old->name) >= (int)sizeof(p->name))
		return refuse(u, -ENOENT, "the name %s is too long", old->name);
	map = section(p, ".rodata.%s");
	p->shared = section(p, ".data.%s_pair");
	p->config = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!p->config && !bpf_object__find_map_by_name(u->obj, ".rodata.upgrade_enabled"))
		return refuse(u, -ENOENT, "the object does not include upgrade.bpf.h");
	if (!p->config)
		return refuse(u, -ENOENT, "the object does not include upgrade.bpf.h as %s: set opts.old_maps to what it has",
			      p->name);
	if (bpf_map__fd(map) >= 0)	/* then it is read-only */
		return refuse(u, -EBUSY, "the object is loaded already");
	if (size != sizeof(*p->config) || p->config->version != UPGRADE_VERSION)
		return refuse(u, -EPROTO, "the object is for another version of the library");
	return 0;
}

/* Two pairs that shared a map would bring it in line with different ones. */
static int check_unique(const struct pair *p)
{
	for_each_pair(q, p->u) {
		if (q == p)
			break;
		if (q->config == p->config)
			return refuse(p->u, -EINVAL, "opts.old_maps has %s twice", p->name);
		if (!strcmp(q->config->old_map, p->config->old_map) ||
		    !strcmp(q->config->new_map, p->config->new_map))
			return refuse(p->u, -EINVAL, "%s and %s have a map in common", q->name,
				      p->name);
	}
	return 0;
}

int pairs_find(struct upgrade *u)
{
	struct upgrade_old_map one = { .name = "upgrade", .fd = u->opts.old_map_fd };
	const struct upgrade_old_map *old = u->opts.old_maps ?: &one;
	__u32 count = u->opts.old_maps ? u->opts.nr_old_maps : 1;
	int err = 0;

	if (!u->opts.old_maps != !u->opts.nr_old_maps)
		return refuse(u, -EINVAL, "opts.old_maps and opts.nr_old_maps belong together");
	if (u->opts.old_maps && u->opts.old_map_fd)
		return refuse(u, -EINVAL, "opts has both old_map_fd and old_maps");
	u->pairs = calloc(count, sizeof(*u->pairs));
	if (!u->pairs)
		return refuse(u, -ENOMEM, "no memory");
	while (!err && u->count < count) {
		struct pair *p = &u->pairs[u->count];

		u->count++;
		err = find(p, u, &old[p - u->pairs]) ?: check_unique(p);
	}
	return err;
}
