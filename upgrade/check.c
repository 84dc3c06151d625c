// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* What upgrade_open() refuses. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "parts.h"

int __attribute__((format(printf, 3, 4)))
refuse(const struct upgrade *u, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (u->opts.error)
		vsnprintf(u->opts.error, u->opts.error_size, format, args);
	va_end(args);
	return err;
}

int __attribute__((format(printf, 3, 4)))
refuse_pair(const struct pair *p, int err, const char *format, ...)
{
	char reason[256];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return p->u->count > 1 ? refuse(p->u, err, "%s: %s", p->name, reason) :
				 refuse(p->u, err, "%s", reason);
}

static bool supported_type(__u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return true;
	}
	return false;
}

static bool is_array(__u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static bool is_percpu(__u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* libbpf sets the flag at load; until then, the section name has to tell. */
static bool is_sleepable(const struct bpf_program *prog)
{
	const char *section = bpf_program__section_name(prog);
	size_t kind = strcspn(section, "/");

	if (bpf_program__type(prog) == BPF_PROG_TYPE_SYSCALL)
		return false;
	return (bpf_program__flags(prog) & BPF_F_SLEEPABLE) ||
	       (kind > 2 && !strncmp(section + kind - 2, ".s", 2));
}

static bool is_lru(__u32 type)
{
	return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/*
 * With how many elements an LRU map is full at the latest: each CPU keeps free ones
 * to itself, or has a share of its own.
 */
static __u32 lru_room(const struct bpf_map *map)
{
	__u32 size = bpf_map__max_entries(map), cpus = libbpf_num_possible_cpus();
	__u32 kept = size / cpus / 2;

	if (bpf_map__map_flags(map) & BPF_F_NO_COMMON_LRU)
		return size / cpus;
	kept = kept < 1 ? 1 : kept > UPGRADE_LRU_KEPT ? UPGRADE_LRU_KEPT : kept;
	return kept * cpus < size ? size - kept * cpus : 0;
}

static int check_sizes(struct pair *p, int cpus)
{
	struct upgrade_pair_config *config = p->config;

	if (config->old_key_size > UPGRADE_MAX_KEY || config->new_key_size > UPGRADE_MAX_KEY)
		return refuse_pair(p, -E2BIG, "keys of more than %u bytes", UPGRADE_MAX_KEY);
	if (config->old_value_size > UPGRADE_MAX_VALUE ||
	    config->new_value_size > UPGRADE_MAX_VALUE)
		return refuse_pair(p, -E2BIG, "values of more than %u bytes", UPGRADE_MAX_VALUE);
	if (cpus > UPGRADE_MAX_CPUS)
		return refuse_pair(p, -E2BIG, "a per-CPU map, and %d CPUs: more than %u", cpus,
			      UPGRADE_MAX_CPUS);
	config->nr_cpus = cpus;
	return 0;
}

/* A program cannot write to a slot of a per-CPU map that has special fields. */
static int check_special(struct pair *p)
{
	struct upgrade_pair_config *config = p->config;
	struct upgrade *u = p->u;
	const struct btf *btf = bpf_object__btf(u->obj);
	int old = special_find(btf, bpf_map__btf_value_type_id(p->old_map), 0,
			       config->old_special, 0);
	int new = special_find(btf, bpf_map__btf_value_type_id(p->new_map), 0,
			       config->new_special, 0);

	if (old < 0 || new < 0)
		return refuse_pair(p, -E2BIG, "more than %u locks, timers or the like in a value",
			      UPGRADE_MAX_SPECIAL);
	if (p->percpu && new)
		return refuse_pair(p, -EINVAL, "locks, timers or the like in a per-CPU value");
	return 0;
}

int check_maps(struct pair *p)
{
	struct upgrade_pair_config *config = p->config;
	struct upgrade *u = p->u;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), type;
	struct bpf_program *prog;
	int err;

	err = bpf_map_get_info_by_fd(p->old_fd, &info, &len);
	if (err)
		return refuse_pair(p, err, "cannot use the old map: %s", strerror(-err));
	p->old_map = bpf_object__find_map_by_name(u->obj, config->old_map);
	p->new_map = bpf_object__find_map_by_name(u->obj, config->new_map);
	if (!p->old_map || !p->new_map)
		return refuse_pair(p, -ENOENT, "no map %s", p->old_map ? config->new_map :
								 config->old_map);
	type = bpf_map__type(p->new_map);
	if (!supported_type(info.type) || !supported_type(type))
		return refuse_pair(p, -EINVAL, "maps of type %u are not supported",
			      supported_type(info.type) ? type : info.type);
	if (is_percpu(info.type) != is_percpu(type) ||
	    (is_array(type) && !is_array(info.type)))
		return refuse_pair(p, -EINVAL, "map type %u cannot become %u", info.type, type);
	if (info.key_size != config->old_key_size ||
	    info.value_size != config->old_value_size)
		return refuse_pair(p, -EINVAL, "the old map has keys of %u and values of %u bytes",
			      info.key_size, info.value_size);
	if (bpf_map__key_size(p->new_map) != config->new_key_size ||
	    bpf_map__value_size(p->new_map) != config->new_value_size)
		return refuse_pair(p, -EINVAL, "%s has other sizes than its types", config->new_map);
	/* Otherwise what counts is what the old map holds. */
	if (is_array(info.type) && bpf_map__max_entries(p->new_map) < info.max_entries)
		return refuse_pair(p, -E2BIG, "%s is smaller than the old array of %u", config->new_map,
			      info.max_entries);
	err = check_sizes(p, is_percpu(type) ? libbpf_num_possible_cpus() : 1);
	if (err)
		return err;
	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) && is_sleepable(prog))
			return refuse(u, -EINVAL, "%s is sleepable", bpf_program__name(prog));
	p->old_type = info.type;
	p->no_delete = is_array(type);
	config->no_delete = p->no_delete;
	p->percpu = is_percpu(type);
	config->lru = is_lru(type);
	config->lru_room = config->lru ? lru_room(p->new_map) : 0;
	return check_special(p);
}
