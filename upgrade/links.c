// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* How an upgrade begins and ends: what it shares with its programs, and their links. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include "parts.h"

static void *map_shared(const struct bpf_map *map, size_t size)
{
	void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return data == MAP_FAILED ? NULL : data;
}

static void unmap_shared(void *data, size_t size)
{
	if (data)
		munmap(data, size);
}

static int begin_pair(struct pair *p)
{
	union bpf_iter_link_info info = { .map.map_fd = bpf_map__fd(p->old_map) };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
		    .link_info_len = sizeof(info));
	int err;

	p->state = map_shared(p->shared, sizeof(*p->state));
	p->batch = map_shared(pair_map(p, "keys"), UPGRADE_BATCH * p->stride);
	if (!p->state || !p->batch)
		return report_error(p->u, -errno, "cannot map the programs' data: is the object loaded?");
	err = mover_open_ring(p);
	if (err)
		return err;
	p->link[COPY] = bpf_program__attach_iter(p->prog[COPY], &opts);
	return p->link[COPY] ? 0 : report_error(p->u, -errno, "cannot attach %s",
						bpf_program__name(p->prog[COPY]));
}

static void end_pair(struct pair *p)
{
	ring_buffer__free(p->marks);
	unmap_shared(p->state, sizeof(*p->state));
	unmap_shared(p->batch, UPGRADE_BATCH * p->stride);
	keyset_free(&p->dirty);
	p->marks = NULL;
	p->state = NULL;
	p->batch = NULL;
	p->out_of_memory = false;
}

/* Another run may find another folder by that name. */
static void close_pins(struct upgrade *u)
{
	if (u->pins_fd >= 0)
		close(u->pins_fd);
	u->pins_fd = -1;
}

/*
 * Undo what upgrade_begin() did, as far as it got. If the old version may still be
 * attached, the gate stays until upgrade_resume() or upgrade_close().
 */
static void undo(struct upgrade *u)
{
	if (u->state && (u->state->phase < UPGRADE_SWITCHED || !u->state->gate)) {
		upgrade_detach(u, GATE_FIRST, PASSED_DELETE);
		close_pins(u);
	}
	upgrade_detach(u, 0, GATE_FIRST - 1);
	upgrade_detach(u, PASSED_DELETE + 1, PROGRAMS - 1);
	for_each_pair(p, u)
		end_pair(p);
	unmap_shared(u->state, sizeof(*u->state));
	u->state = NULL;
	wait_close(u);
}

/* The part of the setup that needs the object to be loaded. */
int upgrade_begin(struct upgrade *u)
{
	int err = 0;

	u->state = map_shared(bpf_object__find_map_by_name(u->obj, ".data.upgrade"),
			      sizeof(*u->state));
	if (!u->state)
		err = report_error(u, -errno, "cannot map the programs' data: is the object loaded?");
	err = err ?: wait_open(u);
	for_each_pair(p, u)
		err = err ?: begin_pair(p);
	if (err)
		undo(u);
	return err;
}

/* So that the gate outlives this process. */
static int pin(struct pair *p, int i)
{
	struct upgrade *u = p->u;
	char path[512];
	int err;

	if (!u->opts.pins || i < GATE_FIRST || i > PASSED_DELETE)
		return 0;
	/* The caller may rename the folder meanwhile. */
	if (u->pins_fd < 0)
		u->pins_fd = open(u->opts.pins, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/%s", u->opts.pins, bpf_program__name(p->prog[i]));
	err = u->pins_fd < 0 ? -errno : bpf_link__pin(p->link[i], path);
	return err ? report_error(u, err, "cannot pin %s", path) : 0;
}

static int unpin(struct pair *p, int i)
{
	const char *name = bpf_program__name(p->prog[i]);

	if (!p->link[i] || !bpf_link__pin_path(p->link[i]) || !unlinkat(p->u->pins_fd, name, 0))
		return 0;
	return report_error(p->u, -errno, "cannot remove the pin %s", name);
}

static int attach(struct pair *p, int i)
{
	if (!bpf_program__autoload(p->prog[i]))
		return 0;
	p->link[i] = bpf_program__attach(p->prog[i]);
	return p->link[i] ? pin(p, i) : report_error(p->u, -errno, "cannot attach %s",
						     bpf_program__name(p->prog[i]));
}

int upgrade_attach(struct upgrade *u, int first, int last)
{
	int err = 0;

	for_each_pair(p, u)
		for (int i = first; i <= last; i++)
			err = err ?: attach(p, i);
	return err;
}

int upgrade_detach(struct upgrade *u, int first, int last)
{
	int err = 0, failed;

	for_each_pair(p, u)
		for (int i = first; i <= last; i++) {
			failed = unpin(p, i);
			err = err ?: failed;
			bpf_link__destroy(p->link[i]);
			p->link[i] = NULL;
		}
	return err;
}

static struct bpf_link *open_pin(struct pair *p, int i)
{
	const char *name = bpf_program__name(p->prog[i]);
	char path[512];

	if (faccessat(p->u->pins_fd, name, F_OK, 0))
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", p->u->opts.pins, name);
	return bpf_link__open(path);
}

bool upgrade_find_gate(struct upgrade *u)
{
	bool all = true;

	if (u->opts.pins && u->pins_fd < 0)
		u->pins_fd = open(u->opts.pins, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for_each_pair(p, u)
		for (int i = GATE_FIRST; i <= PASSED_DELETE; i++) {
			if (!p->link[i] && u->pins_fd >= 0)
				p->link[i] = open_pin(p, i);
			all = all && p->link[i];
		}
	return all;
}

void upgrade_leave(struct upgrade *u)
{
	for_each_pair(p, u)
		for (int i = 0; i < PROGRAMS; i++)
			bpf_link__destroy(p->link[i]);
	close_pins(u);
}

/* Complete the report, whatever came before, and return the overall result. */
int upgrade_end(struct upgrade *u, int err)
{
	report_fill_in(u);
	err = err ?: report_judge(u);
	undo(u);
	return err;
}

void release_writers(struct upgrade *u)
{
	if (u->opts.release_writers)
		u->opts.release_writers(u->opts.ctx, u->report->phase);
}
