// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* What is to be upgraded to what, and whether that can work. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "task.h"

bool task_state(const char *next, struct upgrade_state *state)
{
	return pin_read(PATH(next, "_data_upgrade"), state, sizeof(*state));
}

bool task_made(const char *pin)
{
	static const char *const made[] = {
		"_bss_upgrade", "_data_upgrade", "_data_upgrade_pair", "_rodata_upgrade",
		"_rodata_upgrade_enabled", "_rodata_upgrade_zeroes",
		"upgrade_claim", "upgrade_events", "upgrade_keys", "upgrade_marks", "upgrade_owned",
	};

	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		if (!strcmp(pin, made[i]))
			return true;
	return false;
}

bool task_is_own(const struct task *task, const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	return bpf_map__is_internal(map) || task_made(name) ||
	       !strcmp(name, task->config->old_map) || !strcmp(name, task->config->new_map);
}

int task_shared(const struct task *task, const struct bpf_map *map)
{
	int fd = task_is_own(task, map) ? -1 : bpf_obj_get(pin_of(task->pins, map).text);

	if (fd >= 0 && !fd_is(fd, "bpf-map")) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool task_attaches(const struct task *task, const struct bpf_program *prog)
{
	return bpf_program__autoload(prog) && bpf_program__autoattach(prog) &&
	       bpf_program__type(prog) != BPF_PROG_TYPE_SYSCALL;
}

int task_open_object(struct task *task)
{
	struct bpf_map *map;
	size_t size;

	task->obj = open_object(task->file);
	if (!task->obj)
		return 1;
	map = bpf_object__find_map_by_name(task->obj, ".rodata.upgrade");
	task->config = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!task->config && bpf_object__find_map_by_name(task->obj, ".rodata.upgrade_enabled"))
		return fail("%s gives its maps names of their own (UPGRADE_NAME): use the library",
			    task->file);
	if (!task->config)
		return fail("%s does not include upgrade.bpf.h: see bpf-upgrade gen", task->file);
	if (size != sizeof(*task->config) || task->config->version != UPGRADE_VERSION)
		return fail("%s is for another version of the library: compile it again", task->file);
	/* All pins are made here. */
	bpf_object__for_each_map(map, task->obj)
		bpf_map__set_pin_path(map, NULL);
	return 0;
}

/* The old map is pinned by the name that the new object has for it, or that of the new one. */
static int find_old(struct task *task)
{
	task->old_pin = path_of(task->pins, task->config->old_map);
	if (access(task->old_pin.text, F_OK))
		task->old_pin = path_of(task->pins, task->config->new_map);
	if (access(task->old_pin.text, F_OK))
		return fail("there is no map %s in %s: pin the old map there", task->config->new_map,
			    task->pins);
	return side_of_pin(&task->old, task->old_pin.text);
}

static int check_shared(const struct task *task)
{
	struct bpf_map_info info;
	struct bpf_map *map;
	__u32 len;
	int fd;

	bpf_object__for_each_map(map, task->obj) {
		fd = task_shared(task, map);
		if (fd < 0)
			continue;
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		bpf_map_get_info_by_fd(fd, &info, &len);
		close(fd);
		if (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		    info.value_size != bpf_map__value_size(map))
			return fail("the map %s in %s has other sizes than in %s: only one map can be converted, so rename it",
				    bpf_map__name(map), task->pins, task->file);
	}
	return 0;
}

static bool is_beside(__u32 attach_type)
{
	return attach_type == BPF_TRACE_FENTRY || attach_type == BPF_MODIFY_RETURN;
}

static int check_programs(struct task *task)
{
	const struct link *link = task->old_links.link;
	struct links next = {};
	__u32 foreign;
	struct bpf_program *prog;
	int err, count = 0;

	bpf_object__for_each_program(prog, task->obj) {
		if (!task_attaches(task, prog))
			continue;
		count++;
		if (bpf_program__type(prog) != BPF_PROG_TYPE_TRACING ||
		    !is_beside(bpf_program__expected_attach_type(prog)))
			return fail("the program %s is SEC(\"%s\"), but only fentry and fmod_ret can be attached beside an old version; for XDP, tcx, netkit and cgroups, use the library",
				    bpf_program__name(prog), bpf_program__section_name(prog));
	}
	if (!count)
		return fail("%s has no program to attach", task->file);
	if (count + GATE_LINKS > MAX_LINKS)
		return fail("%s has %d programs to attach, more than %d", task->file, count,
			    MAX_LINKS - GATE_LINKS);
	for (int i = 0; i < task->old_links.count; i++)
		if (link[i].type != BPF_LINK_TYPE_TRACING || !is_beside(link[i].attach_type))
			return fail("%s/%s is not the link of an fentry or fmod_ret program: first let one take its place, with the same map; for XDP, tcx, netkit and cgroups, use the library",
				    task->pins, link[i].name);
	if (!task->old_links.count)
		return fail("there are no links in %s: pin those of the old version there",
			    task->pins);
	err = links_in(task->next.text, &next);
	if (err && err != -ENOENT)
		return fail("cannot read %s: %s", task->next.text, strerror(-err));
	foreign = links_foreign(&task->old_links, &next, map_id(task->old.fd));
	return foreign ? fail("link %u has a program that uses the old map, but is not pinned in %s: pin it there, or end the process that has it",
			      foreign, task->pins) : 0;
}

static bool same(const struct side *a, const struct side *b)
{
	return side_has_types(a) && side_has_types(b) &&
	       type_same(a->btf, a->key, b->btf, b->key) &&
	       type_same(a->btf, a->value, b->btf, b->value);
}

/* The conversion would be that of another layout, which can be of the same size. */
static bool is_converted(const struct task *task)
{
	struct side from;

	return same(&task->old, &task->new) &&
	       bpf_object__find_map_by_name(task->obj, task->config->old_map) &&
	       !side_of_object(&from, task->obj, task->file, task->config->old_map) &&
	       !same(&from, &task->new);
}

/* Also what the library would refuse, without the use of tracefs that it prepares. */
static int check(struct task *task)
{
	struct upgrade upgrade = { .obj = task->obj, .opts = {
		.old_map_fd = task->old.fd, .old_decides = task->old_decides,
		.error = task->error, .error_size = sizeof(task->error),
	} };
	struct pair pair = { .u = &upgrade, .name = "upgrade", .old_fd = task->old.fd,
			     .config = task->config };

	upgrade.pairs = &pair;
	upgrade.count = 1;
	if (is_converted(task))
		return fail("%s has the layout of %s already, and %s converts another one to it: was it upgraded before?",
			    task->old_pin.text, task->config->new_map, task->file);
	if (check_maps(&pair))
		return fail("%s cannot become %s of %s: %s", task->old_pin.text,
			    task->config->new_map, task->file, task->error);
	if (check_shared(task) || check_programs(task))
		return 1;
	return watch_prepare(&upgrade) ? fail("%s", task->error) : 0;
}

int task_start(struct task *task, const char *pins, const char *file)
{
	struct stat stats;

	memset(task, 0, sizeof(*task));
	task->pins = pins;
	task->file = file;
	task->next = path_of(pins, "upgrade");
	task->old.fd = -1;
	task->lock = -1;
	if (stat(pins, &stats))
		return fail("cannot open %s: %s", pins, strerror(errno));
	if (!S_ISDIR(stats.st_mode) || !side_is_pin(pins))
		return fail("%s is not a folder of a bpf file system, with the maps and links of the old version",
			    pins);
	return 0;
}

int task_begin(struct task *task, int argc, char **argv)
{
	int err = task_start(task, argv[argc - 2], argv[argc - 1]);

	for (int i = 0; !err && i < argc - 2; i++)
		if (!strcmp(argv[i], "--old-decides"))
			task->old_decides = true;
		else if (!strcmp(argv[i], "--in-nmis"))
			task->in_nmis = true;
		else
			err = fail("no such option: %s", argv[i]);
	return err;
}

int task_lock(struct task *task)
{
	task->lock = folder_lock(task->pins);
	if (task->lock == -EWOULDBLOCK)
		return fail("another bpf-upgrade is at work in %s", task->pins);
	return task->lock < 0 ? fail("cannot lock %s: %s", task->pins, strerror(-task->lock)) : 0;
}

int task_open(struct task *task)
{
	const char *pins = task->pins, *file = task->file;
	struct upgrade_state state;
	int err;

	if (task_state(task->next.text, &state) && state.phase >= UPGRADE_SWITCHED)
		return fail("there is an unfinished upgrade in %s: run bpf-upgrade resume %s %s",
			    pins, pins, file);
	err = task_open_object(task) ?: find_old(task) ?:
	      side_of_object(&task->new, task->obj, file, task->config->new_map);
	if (err)
		return err;
	if (links_in(pins, &task->old_links))
		return fail("cannot read the links in %s, or there are more than %d", pins, MAX_LINKS);
	return check(task);
}

void task_close(struct task *task)
{
	upgrade_close(task->upgrade);
	bpf_object__close(task->obj);
	side_close(&task->old);
	if (task->lock >= 0)
		close(task->lock);
}
