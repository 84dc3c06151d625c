/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* An upgrade of the version in a folder of pins to that in an object. */
#ifndef TASK_H
#define TASK_H

#include "folder.h"
#include "parts.h"

struct task {
	const char *pins, *file;
	struct path next;		/* the folder for the new version's pins */
	struct bpf_object *obj;
	struct upgrade_pair_config *config;	/* in the object */
	struct path old_pin;
	struct side old, new;
	struct links old_links;
	int lock;
	bool old_decides, in_nmis;	/* the options of these names */
	struct upgrade_opts opts;
	struct upgrade *upgrade;
	char error[TEXT];		/* what attaching or detaching has to say */
};

/* task.c: of these, each returns 0, or 1: said why. To be closed even then. */
int task_start(struct task *task, const char *pins, const char *file);
/* The same, with the arguments of run. */
int task_begin(struct task *task, int argc, char **argv);
/* Keep others from changing the folder, from before one looks at what is in it. */
int task_lock(struct task *task);
/* Find everything, and refuse what cannot work. */
int task_open(struct task *task);
void task_close(struct task *task);
/* Open the object, and see which maps it is about. */
int task_open_object(struct task *task);
/* Is it a program that the new version attaches? */
bool task_attaches(const struct task *task, const struct bpf_program *prog);
/* A map of the new version that it shares with the old one: its pin's descriptor, or -1. */
int task_shared(const struct task *task, const struct bpf_map *map);
/* Is this the name of a pin of the library's own? */
bool task_made(const char *pin);
/* Does the library make or replace this map? */
bool task_is_own(const struct task *task, const struct bpf_map *map);

/* The state of the upgrade whose pins are in this folder. False: there is none. */
bool task_state(const char *next, struct upgrade_state *state);

#endif /* TASK_H */
