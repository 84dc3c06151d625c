/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The policy's pins in a bpffs, below `root`:
 *
 *	members		the set of processes under the policy, for all versions
 *	current/	the version in force:
 *		files	its map
 *		links/	the links of its programs
 *		upgrade/  all maps of its object, until its upgrade is finished
 *	next/		during an upgrade: the other version, the same inside
 *	finished/	current/upgrade while it is removed
 *
 * All functions return 0 or a negative errno, unless they say otherwise.
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

/* Where a map is pinned below folder/upgrade; a name in bpffs has no dots. */
struct path pin_of(const char *folder, const struct bpf_map *map);

/* Attach the programs of an object and pin their links in folder/links. */
int pins_attach(struct bpf_object *object, const char *folder);

/* Detach what folder/links holds and remove the folder, if it is there. */
int pins_remove(const char *folder);

/* The upgrade of `current` is finished: remove current/upgrade. */
int pins_finish(const char *root);

/* `next` becomes `current` and the other way round, in one step. */
int pins_exchange(const char *root);

/* Programs and links in the kernel that no pin of `current` or `next` holds. */
int pins_strays(const char *root);

/*
 * Runs of programs that the kernel skipped, because a task was preempted in the
 * same program on the same CPU: then an event goes by unseen, in any version.
 * Those of programs that were detached are added to *pins_skips, unless NULL.
 */
unsigned long pins_skipped(void);
extern _Atomic unsigned long *pins_skips;

#endif
