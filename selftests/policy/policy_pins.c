// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which programs come and go. Those that enforce may run only while
 * those that record do: alone, they would refuse what nobody recorded any more.
 * So enforcers are attached last and detached first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "policy_pins.h"

#define ENFORCER "check_"	/* what the names of those programs begin with */
#define MAX_LINKS 16
#define DETACH_MS 5000		/* more than a loaded machine takes */

_Atomic unsigned long *pins_skips;

struct path path_of(const char *folder, const char *name)
{
	struct path path;

	if (snprintf(path.text, sizeof(path.text), "%s/%s", folder, name) >=
	    (int)sizeof(path.text))
		path.text[0] = '\0';	/* which names nothing */
	return path;
}

struct path pin_of(const char *folder, const struct bpf_map *map)
{
	struct path path = path_of(folder, "upgrade/");
	char *name = path.text + strlen(path.text);

	strcat(path.text, bpf_map__name(map));
	while ((name = strchr(name, '.')))
		*name = '_';
	return path;
}

static bool is_enforcer(const char *name)
{
	return !strncmp(name, ENFORCER, strlen(ENFORCER));
}

static int attach_kind(struct bpf_object *object, const char *folder, bool enforcers)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		const char *name = bpf_program__name(program);
		struct bpf_link *link;
		int err;

		if (!bpf_program__autoattach(program) || !bpf_program__autoload(program) ||
		    is_enforcer(name) != enforcers)
			continue;
		link = bpf_program__attach(program);
		if (!link)
			return -errno;
		err = bpf_link__pin(link, PATH(PATH(folder, "links"), name));
		bpf_link__destroy(link);
		if (err)
			return err;
	}
	return 0;
}

int pins_attach(struct bpf_object *object, const char *folder)
{
	return attach_kind(object, folder, false) ?: attach_kind(object, folder, true);
}

/* The number of the program behind a link; 0 on an error. */
static __u32 program_of(int link)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	bpf_link_get_info_by_fd(link, &info, &len);
	return info.prog_id;
}

static unsigned long skipped_of(__u32 program)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(program);

	bpf_prog_get_info_by_fd(fd, &info, &len);
	close(fd);
	return info.recursion_misses;
}

/* If somebody else holds the link too, it may take until that one is gone. */
static int wait_until_gone(__u32 program)
{
	for (int i = 0; i < DETACH_MS; i++) {
		int fd = bpf_prog_get_fd_by_id(program);

		if (fd == -ENOENT)
			return 0;
		close(fd);
		usleep(1000);
	}
	return -ETIMEDOUT;
}

static int detach_kind(const char *folder, bool enforcers)
{
	__u32 programs[MAX_LINKS];
	int nr = 0, err = 0, link;
	struct dirent *entry;
	DIR *links = opendir(PATH(folder, "links"));

	while (links && (entry = readdir(links)) && nr < MAX_LINKS) {
		struct path pin = path_of(PATH(folder, "links"), entry->d_name);

		if (entry->d_name[0] == '.' || is_enforcer(entry->d_name) != enforcers)
			continue;
		/* close() detaches at once, unlink() alone lets a worker do it. */
		link = bpf_obj_get(pin.text);
		programs[nr] = program_of(link);
		if (pins_skips)
			*pins_skips += skipped_of(programs[nr]);
		nr++;
		unlink(pin.text);
		close(link);
	}
	if (links)
		closedir(links);
	while (nr && !err)
		err = wait_until_gone(programs[--nr]);
	return err;
}

static int remove_folder(const char *path)
{
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}

static int remove_maps(const char *folder)
{
	DIR *maps = opendir(folder);
	struct dirent *entry;

	while (maps && (entry = readdir(maps)))
		if (entry->d_name[0] != '.')
			unlink(PATH(folder, entry->d_name));
	if (maps)
		closedir(maps);
	return remove_folder(folder);
}

int pins_remove(const char *folder)
{
	int err = detach_kind(folder, true) ?: detach_kind(folder, false);

	if (err)
		return err;
	unlink(PATH(folder, "files"));
	return remove_maps(PATH(folder, "upgrade")) ?:
	       remove_folder(PATH(folder, "links")) ?: remove_folder(folder);
}

/* Removed at once, not pin by pin: half of them cannot be resumed from. */
int pins_finish(const char *root)
{
	int err = remove_maps(PATH(root, "finished"));

	if (!err && rename(PATH(root, "current/upgrade"), PATH(root, "finished")) &&
	    errno != ENOENT)
		err = -errno;
	return err ?: remove_maps(PATH(root, "finished"));
}

int pins_exchange(const char *root)
{
	int err = renameat2(AT_FDCWD, PATH(root, "next"), AT_FDCWD, PATH(root, "current"),
			    RENAME_EXCHANGE);

	return err ? -errno : 0;
}

/* Whether the program is that of a pinned link. */
static bool is_pinned(const char *folder, __u32 program)
{
	DIR *links = opendir(PATH(folder, "links"));
	struct dirent *entry;
	bool found = false;

	while (links && !found && (entry = readdir(links))) {
		int link = bpf_obj_get(PATH(PATH(folder, "links"), entry->d_name));

		found = program_of(link) == program;
		close(link);
	}
	if (links)
		closedir(links);
	return found;
}

int pins_strays(const char *root)
{
	int strays = 0, links = 0, pinned = 0;
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		bool found = is_pinned(PATH(root, "current"), id) ||
			     is_pinned(PATH(root, "next"), id);

		pinned += found;
		strays += !found;
	}
	for (id = 0; !bpf_link_get_next_id(id, &id);)
		links++;
	return strays + links - pinned;
}

unsigned long pins_skipped(void)
{
	unsigned long skipped = 0;
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id))
		skipped += skipped_of(id);
	return skipped + (pins_skips ? *pins_skips : 0);
}
