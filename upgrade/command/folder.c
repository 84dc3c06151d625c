// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/*
 * A folder of a bpffs with the pinned maps and links of a version, and, during an
 * upgrade, a folder `upgrade` in it with those of the new one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "folder.h"

#define DETACH_TRIES 1000
#define PAUSE_US 10000

struct path path_of(const char *folder, const char *name)
{
	struct path path;

	if (snprintf(path.text, sizeof(path.text), "%s/%s", folder, name) >=
	    (int)sizeof(path.text))
		path.text[0] = '\0';	/* names nothing */
	return path;
}

/* There are no dots in a bpffs. */
struct path pin_of(const char *folder, const struct bpf_map *map)
{
	struct path path = path_of(folder, bpf_map__name(map));
	char *name = strrchr(path.text, '/');

	while ((name = strchr(name ?: "", '.')))
		*name = '_';
	return path;
}

bool pin_read(const char *path, void *value, __u32 size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	int fd = bpf_obj_get(path);
	bool ok;

	if (fd < 0)
		return false;
	ok = !bpf_map_get_info_by_fd(fd, &info, &len) && info.value_size == size &&
	     !bpf_map_lookup_elem(fd, &zero, value);
	close(fd);
	return ok;
}

int folder_lock(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0 || !flock(fd, LOCK_EX | LOCK_NB))
		return fd < 0 ? -errno : fd;
	err = -errno;
	close(fd);
	return err;
}

int folder_each(const char *folder, int (*what)(const char *path, const char *name, int fd, void *ctx),
		void *ctx)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int err = 0;

	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir))) {
		struct path path = path_of(folder, entry->d_name);
		int fd = bpf_obj_get(path.text);

		if (fd < 0)
			continue;
		err = what(path.text, entry->d_name, fd, ctx);
		close(fd);
	}
	closedir(dir);
	return err;
}

static int remove_pin(const char *path, const char *name, int fd, void *ctx)
{
	return unlink(path) ? -errno : 0;
}

int folder_remove(const char *folder)
{
	int err = folder_each(folder, remove_pin, NULL);

	if (err == -ENOENT)
		return 0;
	return err ?: rmdir(folder) ? -errno : 0;
}

bool link_info(int fd, struct bpf_link_info *info)
{
	__u32 len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return fd_is(fd, "bpf-link") && !bpf_link_get_info_by_fd(fd, info, &len);
}

static int add_link(const char *path, const char *name, int fd, void *ctx)
{
	struct links *links = ctx;
	struct link *link = &links->link[links->count];
	struct bpf_link_info info;

	if (!link_info(fd, &info))
		return 0;
	if (links->count == MAX_LINKS)
		return -E2BIG;
	link->id = info.id;
	link->prog = info.prog_id;
	link->type = info.type;
	link->attach_type = info.type == BPF_LINK_TYPE_TRACING ? info.tracing.attach_type : 0;
	snprintf(link->name, sizeof(link->name), "%s", name);
	links->count++;
	return 0;
}

int links_in(const char *folder, struct links *links)
{
	links->count = 0;
	return folder_each(folder, add_link, links);
}

/*
 * The kernel detaches a link when its last descriptor is closed, but some time after its
 * last pin is removed.
 */
static void unpin(const char *path)
{
	int fd = bpf_obj_get(path);

	unlink(path);
	if (fd >= 0)
		close(fd);
}

static bool is_gone(__u32 link)
{
	int fd = bpf_link_get_fd_by_id(link);

	if (fd >= 0)
		close(fd);
	return fd == -ENOENT;
}

const char *links_detach(const char *folder, const struct links *links)
{
	for (int i = 0; i < links->count; i++)
		unpin(path_of(folder, links->link[i].name).text);
	for (int i = 0; i < links->count; i++) {
		const struct link *link = &links->link[i];
		int tries = DETACH_TRIES;

		while (!is_gone(link->id) && tries--)
			usleep(PAUSE_US);
		if (tries < 0)
			return link->name;
	}
	return NULL;
}

static bool uses_map(__u32 prog, __u32 map)
{
	__u32 ids[64], len;
	struct bpf_prog_info info = { .nr_map_ids = 64, .map_ids = (unsigned long)ids };
	int fd = bpf_prog_get_fd_by_id(prog);
	bool found = false;

	len = sizeof(info);
	if (fd < 0)
		return false;
	if (!bpf_prog_get_info_by_fd(fd, &info, &len))
		for (__u32 i = 0; i < info.nr_map_ids && i < 64; i++)
			found |= ids[i] == map;
	close(fd);
	return found;
}

static bool has_link(const struct links *links, __u32 id)
{
	for (int i = 0; i < links->count; i++)
		if (links->link[i].id == id)
			return true;
	return false;
}

__u32 links_foreign(const struct links *ours, const struct links *more, __u32 map)
{
	struct bpf_link_info info;
	__u32 id = 0;
	int fd;

	while (!bpf_link_get_next_id(id, &id)) {
		fd = bpf_link_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (link_info(fd, &info) && !has_link(ours, id) && !has_link(more, id) &&
		    uses_map(info.prog_id, map)) {
			close(fd);
			return id;
		}
		close(fd);
	}
	return 0;
}
