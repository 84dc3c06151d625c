// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* bpf-upgrade plan: what run would do. */
#include <string.h>
#include <unistd.h>
#include "task.h"

static void print_map(const char *what, const struct side *side, const char *where)
{
	printf("%-10s %s, %s of %u, keys of %u and values of %u bytes\n", what, where,
	       side_type(side), side->max_entries, side->key_size, side->value_size);
}

/* The first one after what it is about. */
static void print_lines(const char *what, const char *lines)
{
	size_t len;

	if (!*lines)
		printf("%-10s no change\n", what);
	for (; *lines; lines += len + 1) {
		len = strcspn(lines, "\n");
		printf("%-10s %.*s\n", what, (int)len, lines);
		what = "";
	}
}

static void print_changes(const struct task *task)
{
	struct comparison comparison = {};

	if (!side_has_types(&task->old) || !side_has_types(&task->new)) {
		printf("%-10s by hand: there are no types\n", "convert");
	} else if (compare(&task->old, &task->new, &comparison)) {
		print_lines("key", comparison.text[KEY_CHANGES]);
		print_lines("value", comparison.text[VALUE_CHANGES]);
	} else {
		printf("%-10s by hand: %s\n", "convert", comparison.error);
	}
	comparison_free(&comparison);
}

int plan(int argc, char **argv)
{
	struct task task;
	struct bpf_program *prog;
	struct bpf_map *map;
	struct path name;
	int err, fd;

	err = task_begin(&task, argc, argv) ?: task_open(&task);
	if (err)
		goto out;
	name = path_of(task.file, task.config->new_map);
	print_map("old map", &task.old, task.old_pin.text);
	print_map("new map", &task.new, name.text);
	print_changes(&task);
	bpf_object__for_each_map(map, task.obj) {
		fd = task_shared(&task, map);
		if (!task_is_own(&task, map))
			printf("%-10s %s\n", fd < 0 ? "empty map" : "share", bpf_map__name(map));
		if (fd >= 0)
			close(fd);
	}
	bpf_object__for_each_program(prog, task.obj)
		if (task_attaches(&task, prog))
			printf("%-10s %s, %s\n", "attach", bpf_program__name(prog),
			       bpf_program__section_name(prog));
	for (int i = 0; i < task.old_links.count; i++)
		printf("%-10s %s/%s\n", "detach", task.pins, task.old_links.link[i].name);
	if (!access(task.next.text, F_OK))
		printf("%-10s %s, which an upgrade has left: see bpf-upgrade status %s\n", "found",
		       task.next.text, task.pins);
out:
	task_close(&task);
	return err;
}
