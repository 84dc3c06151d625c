/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Folders of pins. */
#ifndef FOLDER_H
#define FOLDER_H

#include <bpf/bpf.h>
#include "command.h"

struct path {
	char text[TEXT];
};

struct path path_of(const char *folder, const char *name);
struct path pin_of(const char *folder, const struct bpf_map *map);
#define PATH(folder, name) (path_of(folder, name).text)

/* Read the one value of a pinned map. False: it is not there, or of another size. */
bool pin_read(const char *path, void *value, __u32 size);

/* A descriptor that holds the lock; -EWOULDBLOCK: another process does. */
int folder_lock(const char *folder);
/* Stops if `what` does not return 0, and returns that, or a negative errno. */
int folder_each(const char *folder,
		int (*what)(const char *path, const char *name, int fd, void *ctx), void *ctx);
/* With all pins in it. */
int folder_remove(const char *folder);

#define MAX_LINKS 128
struct link {
	char name[128];
	__u32 id, prog, type, attach_type;
};

struct links {
	int count;
	struct link link[MAX_LINKS];
};

bool link_info(int fd, struct bpf_link_info *info);
int links_in(const char *folder, struct links *links);
/* Unpin and so detach them; the name of one that somebody else keeps, or NULL. */
const char *links_detach(const char *folder, const struct links *links);
/* The id of a link that is not among these, and whose program uses the map; or 0. */
__u32 links_foreign(const struct links *ours, const struct links *more, __u32 map);

#endif /* FOLDER_H */
