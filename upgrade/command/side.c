// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* A map: pinned, or in an object that is not loaded. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <bpf/bpf.h>
#include "command.h"

bool side_is_pin(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* Is it a "bpf-map", "bpf-link", "bpf-prog"? */
bool fd_is(int fd, const char *kind)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, text, sizeof(text) - 1) > 0 && !strncmp(text, "anon_inode:", 11) &&
	       !strcmp(text + 11, kind);
}

__u32 map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return fd_is(fd, "bpf-map") && !bpf_map_get_info_by_fd(fd, &info, &len) ? info.id : 0;
}

int side_of_pin(struct side *side, const char *path)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	memset(side, 0, sizeof(*side));
	side->fd = bpf_obj_get(path);
	if (side->fd < 0)
		return fail("cannot open %s: %s", path, reason());
	if (!fd_is(side->fd, "bpf-map") || bpf_map_get_info_by_fd(side->fd, &info, &len))
		return fail("%s is not a pinned map", path);
	side->type = info.type;
	side->key_size = info.key_size;
	side->value_size = info.value_size;
	side->max_entries = info.max_entries;
	side->key = info.btf_key_type_id;
	side->value = info.btf_value_type_id;
	strcpy(side->name, info.name);
	side->pinned_btf = info.btf_id ? btf__load_from_kernel_by_id(info.btf_id) : NULL;
	side->btf = side->pinned_btf;
	return 0;
}

bool side_has_types(const struct side *side)
{
	return side->btf && side->key && side->value;
}

/* What the library adds, and what libbpf makes of global variables, is not meant. */
static bool is_state(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	return !bpf_map__is_internal(map) && strncmp(name, "upgrade_", 8);
}

static const char *names_of(struct bpf_object *obj, char text[TEXT])
{
	struct bpf_map *map;
	size_t len = 0;

	*text = '\0';
	bpf_object__for_each_map(map, obj)
		if (is_state(map) && len < TEXT - 80)
			len += sprintf(text + len, "%s%.64s", len ? ", " : "", bpf_map__name(map));
	return len ? text : "none";
}

int side_of_object(struct side *side, struct bpf_object *obj, const char *file, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, name);
	char names[TEXT];

	memset(side, 0, sizeof(*side));
	side->fd = -1;
	if (!map)
		return fail("%s has no map %s; it has: %s", file, name, names_of(obj, names));
	side->btf = bpf_object__btf(obj);
	side->type = bpf_map__type(map);
	side->key_size = bpf_map__key_size(map);
	side->value_size = bpf_map__value_size(map);
	side->max_entries = bpf_map__max_entries(map);
	side->key = bpf_map__btf_key_type_id(map);
	side->value = bpf_map__btf_value_type_id(map);
	snprintf(side->name, sizeof(side->name), "%s", name);
	return 0;
}

/* The kernel keeps 15 characters of a map's name. */
const char *side_find(struct bpf_object *obj, const struct side *pinned)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
		if (is_state(map) && !strncmp(bpf_map__name(map), pinned->name, BPF_OBJ_NAME_LEN - 1))
			return bpf_map__name(map);
	return NULL;
}

int side_open(struct side *side, const char *path, const char *map)
{
	struct bpf_object *obj;
	int err;

	if (side_is_pin(path))
		return side_of_pin(side, path);
	memset(side, 0, sizeof(*side));
	side->fd = -1;
	if (access(path, F_OK))
		return fail("cannot open %s: %s", path, strerror(errno));
	obj = open_object(path);
	if (!obj)
		return 1;
	err = map ? side_of_object(side, obj, path, map) :
		    fail("%s is an object: name a map of it, too", path);
	side->obj = obj;
	return err;
}

void side_close(struct side *side)
{
	btf__free(side->pinned_btf);
	bpf_object__close(side->obj);
	if (side->fd >= 0)
		close(side->fd);
}

/* As in a declaration, without BPF_MAP_TYPE_. */
const char *side_type(const struct side *side)
{
	switch (side->type) {
	case BPF_MAP_TYPE_ARRAY:
		return "ARRAY";
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return "PERCPU_ARRAY";
	case BPF_MAP_TYPE_HASH:
		return "HASH";
	case BPF_MAP_TYPE_PERCPU_HASH:
		return "PERCPU_HASH";
	case BPF_MAP_TYPE_LRU_HASH:
		return "LRU_HASH";
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return "LRU_PERCPU_HASH";
	}
	return NULL;
}
