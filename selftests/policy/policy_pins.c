// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of attaching and detaching matters. Programs that enforce must not run
 * without those that record, or they would refuse writes to files whose opening
 * was not recorded. So enforcers are attached last and detached first.
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
#include "policy_progs.h"

#define ENFORCER "check_"	/* prefix of the names of enforcing programs */
#define MAX_LINKS 16

struct path path_of(const char *folder, const char *name)
{
	struct path path;

	if (snprintf(path.text, sizeof(path.text), "%s/%s", folder, name) >=
	    (int)sizeof(path.text))
		path.text[0] = '\0';	/* names nothing */
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
		/* Closing detaches at once; after unlink() alone a worker does it. */
		link = bpf_obj_get(pin.text);
		programs[nr] = prog_of_link(link);
		if (progs_skips)
			*progs_skips += prog_skipped(programs[nr]);
		nr++;
		unlink(pin.text);
		close(link);
	}
	if (links)
		closedir(links);
	while (nr && !err)
		err = prog_wait_until_gone(programs[--nr]);
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

/* Not pin by pin: an upgrade cannot be resumed from half of them. */
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

/* Is it the program of a link that is pinned in folder/links? */
static bool is_pinned(const char *folder, __u32 program)
{
	DIR *links = opendir(PATH(folder, "links"));
	struct dirent *entry;
	bool found = false;

	while (links && !found && (entry = readdir(links))) {
		int link = bpf_obj_get(PATH(PATH(folder, "links"), entry->d_name));

		found = prog_of_link(link) == program;
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
