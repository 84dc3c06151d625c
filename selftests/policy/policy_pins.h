/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy's pins in a bpffs, below `root`:
 *
 *	members		the set of processes under the policy, shared by all versions
 *	current/	the version in force:
 *		files	its map
 *		links/	the links of its programs
 *		upgrade/  all maps of its object, until its upgrade is finished
 *	next/		during an upgrade: the other version, laid out the same
 *	finished/	current/upgrade while it is being removed
 *
 * All functions return 0 or a negative errno, except where noted.
 */
#ifndef POLICY_PINS_H
#define POLICY_PINS_H

#include <stdbool.h>
#include <bpf/libbpf.h>

struct path {
	char text[256];
};

struct path path_of(const char *folder, const char *name);
#define PATH(folder, name) (path_of(folder, name).text)

/* Where a map is pinned in folder/upgrade; bpffs allows no dots in a name. */
struct path pin_of(const char *folder, const struct bpf_map *map);

/* Attach the programs of an object and pin their links in folder/links. */
int pins_attach(struct bpf_object *object, const char *folder);

/* Detach what is pinned in folder/links and remove the folder, if it exists. */
int pins_remove(const char *folder);

/* The upgrade to `current` is finished: remove current/upgrade. */
int pins_finish(const char *root);

/* Exchange `next` and `current` atomically. */
int pins_exchange(const char *root);

/* The number of programs and links that are not pinned in `current` or `next`. */
int pins_strays(const char *root);

#endif /* POLICY_PINS_H */
