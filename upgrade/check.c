// SPDX-License-Identifier: GPL-2.0-only
/* What the library and the object can do: the part before the object is loaded. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "parts.h"

const char *const upgrade_programs[PROGRAMS] = {
	"upgrade_mark_update", "upgrade_mark_delete", "upgrade_gate_update",
	"upgrade_gate_delete", "upgrade_copy", "upgrade_list", "upgrade_batch",
	"upgrade_list_batch", "upgrade_claim",
};

static int __attribute__((format(printf, 2, 3)))
refuse(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "upgrade: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	return err;
}

static bool reported_type(__u32 type)
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

static int check_sizes(struct upgrade_config *config, int cpus)
{
	if (config->old_key_size > UPGRADE_MAX_KEY || config->new_key_size > UPGRADE_MAX_KEY)
		return refuse(-E2BIG, "keys of more than %u bytes", UPGRADE_MAX_KEY);
	if (config->old_value_size > UPGRADE_MAX_VALUE ||
	    config->new_value_size > UPGRADE_MAX_VALUE)
		return refuse(-E2BIG, "values of more than %u bytes", UPGRADE_MAX_VALUE);
	if (cpus > UPGRADE_MAX_CPUS)
		return refuse(-E2BIG, "a per-CPU map, and %d CPUs: more than %u", cpus,
			      UPGRADE_MAX_CPUS);
	config->nr_cpus = cpus;
	config->words = (cpus + 63) / 64;
	return 0;
}

/* A program cannot write to a slot of a per-CPU map that has special fields. */
static int check_special(struct upgrade *u, struct upgrade_config *config)
{
	const struct btf *btf = bpf_object__btf(u->obj);
	int old = special_find(btf, bpf_map__btf_value_type_id(u->old_map), 0,
			       config->old_special, 0);
	int new = special_find(btf, bpf_map__btf_value_type_id(u->new_map), 0,
			       config->new_special, 0);

	if (old < 0 || new < 0)
		return refuse(-E2BIG, "more than %u locks, timers or the like in a value",
			      UPGRADE_MAX_SPECIAL);
	if (u->percpu && new)
		return refuse(-EINVAL, "kernel pointers in a per-CPU value");
	return 0;
}

/* Can the library and the object handle these two maps? */
static int check_maps(struct upgrade *u, struct upgrade_config *config)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), type;
	struct bpf_program *prog;
	int err;

	err = bpf_map_get_info_by_fd(u->opts.old_map_fd, &info, &len);
	if (err)
		return refuse(err, "cannot use the old map: %s", strerror(-err));
	u->old_map = bpf_object__find_map_by_name(u->obj, config->old_map);
	u->new_map = bpf_object__find_map_by_name(u->obj, config->new_map);
	if (!u->old_map || !u->new_map)
		return refuse(-ENOENT, "no map %s", u->old_map ? config->new_map :
								 config->old_map);
	type = bpf_map__type(u->new_map);
	if (!reported_type(info.type) || !reported_type(type))
		return refuse(-EINVAL, "changes of this map type are not reported");
	if (is_percpu(info.type) != is_percpu(type) ||
	    (is_array(type) && !is_array(info.type)))
		return refuse(-EINVAL, "map type %u cannot become %u", info.type, type);
	if (info.key_size != config->old_key_size ||
	    info.value_size != config->old_value_size)
		return refuse(-EINVAL, "the old map has keys of %u and values of %u bytes",
			      info.key_size, info.value_size);
	if (bpf_map__key_size(u->new_map) != config->new_key_size ||
	    bpf_map__value_size(u->new_map) != config->new_value_size)
		return refuse(-EINVAL, "%s has other sizes than its types", config->new_map);
	if (bpf_map__max_entries(u->new_map) < info.max_entries)
		return refuse(-E2BIG, "%s is smaller than the old map of %u", config->new_map,
			      info.max_entries);
	err = check_sizes(config, is_percpu(type) ? libbpf_num_possible_cpus() : 1);
	if (err)
		return err;
	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) && is_sleepable(prog))
			return refuse(-EINVAL, "%s is sleepable", bpf_program__name(prog));
	u->no_delete = is_array(type);
	u->percpu = is_percpu(type);
	return check_special(u, config);
}

static int set_size(struct bpf_object *obj, const char *name, __u32 max_entries)
{
	return bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, name),
					max_entries);
}

static int prepare(struct upgrade *u)
{
	struct bpf_map *map = bpf_object__find_map_by_name(u->obj, ".rodata.upgrade");
	struct upgrade_config *config;
	size_t size;
	int err;

	config = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!config || size != sizeof(*config))
		return refuse(-ENOENT, "the object does not include upgrade.bpf.h");
	err = check_maps(u, config);
	if (err)
		return err;
	err = wait_prepare(u);
	if (err)
		return refuse(err, "cannot use tracefs to wait for RCU Tasks: %s", strerror(-err));
	config->enabled = 1;
	config->percpu = u->percpu;
	u->dirty.key_size = config->old_key_size;
	u->known.key_size = config->old_key_size;
	u->stride = (config->old_key_size + 7) / 8 * 8;
	if (!u->opts.marks_size)
		u->opts.marks_size = 1 << 20;
	if (!u->opts.created_size)
		u->opts.created_size = 1 << 20;
	if (!u->opts.max_owned)
		u->opts.max_owned = 2 * bpf_map__max_entries(u->new_map);
	u->opts.quiet_keys = u->opts.quiet_keys ?: 64;
	u->opts.max_passes = u->opts.max_passes ?: 16;

	for (int i = 0; i < PROGRAMS; i++) {
		u->prog[i] = bpf_object__find_program_by_name(u->obj, upgrade_programs[i]);
		bpf_program__set_autoload(u->prog[i], true);
		bpf_program__set_autoattach(u->prog[i], false);
	}
	map = bpf_object__find_map_by_name(u->obj, "upgrade_owned");
	return bpf_map__reuse_fd(u->old_map, u->opts.old_map_fd) ?:
	       bpf_map__set_value_size(map, config->words * sizeof(__u64)) ?:
	       set_size(u->obj, "upgrade_marks", u->opts.marks_size) ?:
	       set_size(u->obj, "upgrade_created", u->opts.created_size) ?:
	       set_size(u->obj, "upgrade_events", u->opts.old_decides ? 1 : UPGRADE_EVENTS) ?:
	       set_size(u->obj, "upgrade_owned", u->opts.max_owned);
}

int upgrade_open(struct bpf_object *obj, const struct upgrade_opts *opts,
		 struct upgrade **upgrade)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->obj = obj;
	u->opts = *opts;
	u->inner_fd = -1;
	u->outer_fd = -1;
	u->instance_fd = -1;
	err = prepare(u);
	if (err) {
		upgrade_close(u);
		return err;
	}
	*upgrade = u;
	return 0;
}
