// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/*
 * bpf-upgrade run. The pins of the new version are in a folder `upgrade` of that of the
 * old one, until its map is complete; then they replace the old version's.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "run.h"

int run_attach(void *ctx)
{
	struct task *task = ctx;
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, task->obj) {
		const char *name = bpf_program__name(prog);
		struct bpf_link *link;
		int err;

		if (!task_attaches(task, prog))
			continue;
		link = bpf_program__attach(prog);
		err = link ? bpf_link__pin(link, PATH(task->next.text, name)) : -errno;
		bpf_link__destroy(link);
		if (err) {
			snprintf(task->error, sizeof(task->error), "%s: %s", name, reason());
			return err;
		}
	}
	return 0;
}

int run_detach(void *ctx)
{
	struct task *task = ctx;
	const char *kept = links_detach(task->pins, &task->old_links);

	if (!kept)
		return 0;
	snprintf(task->error, sizeof(task->error),
		 "%s is unpinned, but another process has it open: end that", kept);
	return -EBUSY;
}

/* Maps of the old version, besides the one that is converted, go on to be used. */
static int share_maps(struct task *task)
{
	struct bpf_map *map;
	int err = 0, fd;

	bpf_object__for_each_map(map, task->obj) {
		fd = task_shared(task, map);
		if (fd < 0)
			continue;
		err = err ?: bpf_map__reuse_fd(map, fd);
		close(fd);
	}
	return err;
}

/* Whoever resumes needs all of them, and writers the program. */
static int pin_all(struct task *task)
{
	struct bpf_program *claim = bpf_object__find_program_by_name(task->obj, "upgrade_claim");
	struct path path = path_of(task->next.text, "upgrade_claim");
	int err = bpf_obj_pin(bpf_program__fd(claim), path.text);
	struct bpf_map *map;

	bpf_object__for_each_map(map, task->obj) {
		if (err)
			break;
		/* libbpf calls it as the running one is called. */
		path = map == task->upgrade->pairs->old_map ?
		       path_of(task->next.text, task->config->old_map) :
		       pin_of(task->next.text, map);
		err = bpf_obj_pin(bpf_map__fd(map), path.text);
	}
	return err ? fail("cannot pin %s: %s", path.text, strerror(-err)) : 0;
}

int run_open(struct task *task)
{
	task->opts = (struct upgrade_opts){
		.sz = sizeof(task->opts), .old_map_fd = task->old.fd,
		.attach_new = run_attach, .detach_old = run_detach,
		.pins = task->next.text, .old_decides = task->old_decides,
		.in_nmis = task->in_nmis, .ctx = task,
		.error = task->error, .error_size = sizeof(task->error),
	};
	if (upgrade_open(task->obj, &task->opts, &task->upgrade))
		return fail("%s", task->error);
	task->error[0] = '\0';
	return 0;
}

/* What an upgrade has left that was killed before the switch. */
static int clean(struct task *task)
{
	int err = folder_remove(task->next.text);

	return err ? fail("cannot remove %s: %s", task->next.text, strerror(-err)) : 0;
}

static int load(struct task *task)
{
	if (mkdir(task->next.text, 0700))
		return fail("cannot make %s: %s", task->next.text, strerror(errno));
	if (share_maps(task))
		return fail("cannot use the maps in %s: %s", task->pins, reason());
	if (bpf_object__load(task->obj))
		return fail("cannot load %s: %s", task->file, reason());
	return pin_all(task);
}

int run_conclude(struct task *task, int err, const struct upgrade_report *r)
{
	const char *colon = *task->error ? ": " : "";
	int unfinished;

	if (r->phase < UPGRADE_SWITCHED) {
		folder_remove(task->next.text);
		return fail("not upgraded, the old version goes on: %s%s%s", r->error, colon,
			    task->error);
	}
	if (r->phase < UPGRADE_DONE)
		return fail("not finished: %s%s%s; the new version is in charge and copies what it uses, run bpf-upgrade resume %s %s",
			    r->error, colon, task->error, task->pins, task->file);
	unfinished = finish(task->pins);
	printf("upgraded %s: %llu elements, %llu of them changed by the new version meanwhile\n",
	       task->pins, r->keys, r->kept);
	printf("%llu changes of the old map seen, switched after %llu ms, complete %llu ms later\n",
	       r->changes, r->watch_ns / 1000000, r->window_ns / 1000000);
	if (r->evicted)
		printf("%llu elements are missing in the new LRU map\n", r->evicted);
	return err ? fail("upgraded, but not without loss: %s", r->error) : unfinished;
}

static int locked(struct task *task)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	int err;

	err = task_open(task) ?: clean(task) ?: run_open(task);
	if (err)
		return err;
	err = load(task);
	if (err) {
		folder_remove(task->next.text);
		return err;
	}
	err = upgrade_run(task->upgrade, &report);
	return run_conclude(task, err, &report);
}

int run(int argc, char **argv)
{
	struct task task;
	int err = task_begin(&task, argc, argv) ?: task_lock(&task) ?: locked(&task);

	task_close(&task);
	return err;
}
