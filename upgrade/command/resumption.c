// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* bpf-upgrade resume and status: what is left of an upgrade that did not finish. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "run.h"

/* Use the maps of the upgrade, all of which are pinned; the library takes the old one. */
static int reuse_maps(struct task *task)
{
	struct bpf_map_info info;
	struct bpf_map *map;
	__u32 len;
	int err, fd;

	bpf_object__for_each_map(map, task->obj) {
		if (map == task->upgrade->pairs->old_map)
			continue;
		fd = bpf_obj_get(pin_of(task->next.text, map).text);
		memset(&info, 0, sizeof(info));
		len = sizeof(info);
		err = fd < 0 || bpf_map_get_info_by_fd(fd, &info, &len) ||
		      info.key_size != bpf_map__key_size(map) ||
		      info.value_size != bpf_map__value_size(map) ||
		      bpf_map__reuse_fd(map, fd);
		if (fd >= 0)
			close(fd);
		if (err)
			return fail("the map %s of %s is not in %s: resume with the object that was run",
				    bpf_map__name(map), task->file, task->next.text);
	}
	return 0;
}

/* The library detaches these, if the upgrade was killed before it did. */
static int find_links(struct task *task)
{
	struct links next = {};
	__u32 foreign;

	if (links_in(task->pins, &task->old_links) || links_in(task->next.text, &next))
		return fail("cannot read the links in %s", task->pins);
	foreign = links_foreign(&task->old_links, &next, map_id(task->old.fd));
	return foreign ? fail("link %u still has a program that uses the old map: end the process that has it open",
			      foreign) : 0;
}

/* It was killed, or failed, while it moved the pins. */
static int finish_done(struct task *task, struct upgrade_state *state)
{
	struct upgrade_pair_state maps = {};
	struct pair pair = { .state = &maps };
	struct upgrade upgrade = {
		.state = state, .pairs = &pair, .count = 1, .report = &upgrade.full,
	};
	int err;

	pin_read(PATH(task->next.text, "_data_upgrade_pair"), &maps, sizeof(maps));
	err = finish(task->pins);
	pair.u = &upgrade;
	report_fill_in(&upgrade);
	if (report_judge(&upgrade))
		err = fail("upgraded, but not without loss: %s", upgrade.full.error);
	return err;
}

static int resume(struct task *task)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	struct upgrade_state state;
	int err;

	if (!task_state(task->next.text, &state))
		return fail("there is no upgrade in %s to resume", task->pins);
	if (state.phase < UPGRADE_SWITCHED)
		return fail("the upgrade in %s did not get as far as the switch, the old version is in charge: run it again",
			    task->pins);
	if (state.phase == UPGRADE_DONE)
		return finish_done(task, &state);
	task->old_decides = true;	/* the gate is that of the run, if it had one */
	err = task_open_object(task) ?:
	      side_of_pin(&task->old, PATH(task->next.text, task->config->old_map)) ?:
	      run_open(task) ?: reuse_maps(task);
	if (err)
		return err;
	if (bpf_object__load(task->obj))
		return fail("cannot load %s: %s", task->file, reason());
	err = find_links(task);
	if (err)
		return err;
	err = upgrade_resume(task->upgrade, &report);
	return run_conclude(task, err, &report);
}

int resume_run(int argc, char **argv)
{
	struct task task;
	int err = task_start(&task, argv[0], argv[1]) ?: task_lock(&task) ?: resume(&task);

	task_close(&task);
	return err;
}

int status(int argc, char **argv)
{
	struct upgrade_pair_state maps = {};
	struct upgrade_state state = {};
	struct task task;
	const char *pins = argv[0];

	if (task_start(&task, pins, NULL))
		return 1;
	task.lock = folder_lock(pins);
	if (access(task.next.text, F_OK))
		printf("%s: no upgrade in progress\n", pins);
	else if (task.lock < 0)
		printf("%s: an upgrade is at work\n", pins);
	else if (!task_state(task.next.text, &state) || state.phase < UPGRADE_SWITCHED)
		printf("%s: an upgrade was killed, the old version is in charge: bpf-upgrade run starts again\n",
		       pins);
	else if (state.phase < UPGRADE_DONE)
		printf("%s: an upgrade is not finished, the new version is in charge and still needs the old map: bpf-upgrade resume goes on\n",
		       pins);
	else
		printf("%s: an upgrade is done, except for the pins: bpf-upgrade resume moves them\n",
		       pins);
	if (state.phase >= UPGRADE_WATCHING &&
	    pin_read(PATH(task.next.text, "_data_upgrade_pair"), &maps, sizeof(maps)))
		printf("%llu changes of the old map seen, %llu elements copied, %llu changed for the new version\n",
		       maps.reported, maps.changed[UPGRADE_COPY], maps.changed[UPGRADE_REFRESH]);
	task_close(&task);
	return 0;
}
