// SPDX-License-Identifier: GPL-2.0-only
/* Brings the new map in line with the old one, as told by course.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

#define CHUNK 256		/* elements to copy before looking at the reports */

static int on_mark(void *ctx, void *key, size_t size)
{
	struct upgrade *u = ctx;

	if (keyset_add(&u->dirty, key))
		u->out_of_memory = true;
	return 0;
}

static int on_created(void *ctx, void *key, size_t size)
{
	struct upgrade *u = ctx;

	if (keyset_add(&u->known, key))
		u->out_of_memory = true;
	return 0;
}

int mover_open_rings(struct upgrade *u)
{
	struct bpf_map *map;

	map = bpf_object__find_map_by_name(u->obj, "upgrade_marks");
	u->marks = ring_buffer__new(bpf_map__fd(map), on_mark, u, NULL);
	map = bpf_object__find_map_by_name(u->obj, "upgrade_created");
	u->created = ring_buffer__new(bpf_map__fd(map), on_created, u, NULL);
	if (!u->marks || !u->created)
		return report_error(u, -errno, "cannot read the rings");
	return 0;
}

/* Take about as much as a ring holds now: it may be filled while it is read. */
static int consume(struct upgrade *u, struct ring_buffer *ring)
{
	int n = ring_buffer__consume_n(ring, u->opts.marks_size / 16);

	if (n < 0)
		return report_error(u, n, "cannot read a ring of keys");
	return u->out_of_memory ? report_error(u, -ENOMEM, "no memory for keys") : n;
}

int mover_drain(struct upgrade *u)
{
	int n = consume(u, u->marks);

	report_sample(u, false);
	return n < 0 ? n : 0;
}

int mover_drain_created(struct upgrade *u)
{
	int n = consume(u, u->created);

	return n < 0 ? n : 0;
}

int mover_drain_all(struct upgrade *u)
{
	int n = consume(u, u->marks);

	while (n >= 0 && (n = consume(u, u->created)) > 0)
		;
	return n;
}

/* Have the kernel compare the elements of these keys. */
int mover_run(struct upgrade *u, struct keyset *set, enum upgrade_pass pass)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	u->state->pass = pass;
	for (__u32 i = 0, n; i < set->count; i += n) {
		n = set->count - i < UPGRADE_BATCH ? set->count - i : UPGRADE_BATCH;
		u->state->batch = n;
		for (__u32 j = 0; j < n; j++)
			memcpy(u->batch + j * u->stride, keyset_key(set, i + j),
			       set->key_size);
		err = bpf_prog_test_run_opts(bpf_program__fd(u->prog[BATCH]), &opts);
		if (err)
			return report_error(u, err, "cannot run upgrade_batch");
		err = mover_drain_created(u);
		if (err)
			return err;
		report_sample(u, false);
	}
	return 0;
}

/* Run an iterator, and pass what it writes to `each`, up to CHUNK items at a time. */
static int iterate(struct upgrade *u, int prog,
		   int (*each)(struct upgrade *u, const char *data, size_t size))
{
	int fd = bpf_iter_create(bpf_link__fd(u->link[prog])), err = 0;
	size_t item = prog == LIST ? u->dirty.key_size : 1, kept = 0;
	char *data = malloc(CHUNK * item);
	ssize_t n;

	if (fd < 0 || !data)
		err = report_error(u, fd < 0 ? fd : -ENOMEM, "cannot make an iterator");
	while (!err) {
		n = read(fd, data + kept, CHUNK * item - kept);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			err = report_error(u, -errno, "cannot read an iterator");
		if (n <= 0)
			break;
		kept += n;
		err = each(u, data, kept / item * item);
		memmove(data, data + kept / item * item, kept % item);
		kept %= item;
	}
	free(data);
	if (fd >= 0)
		close(fd);
	return err;
}

static int on_copied(struct upgrade *u, const char *data, size_t size)
{
	return u->frozen ? mover_drain_created(u) : mover_drain(u);
}

static int on_listed(struct upgrade *u, const char *data, size_t size)
{
	for (; size; size -= u->known.key_size, data += u->known.key_size)
		if (keyset_add(&u->known, data))
			return report_error(u, -ENOMEM, "no memory for keys");
	return 0;
}

int mover_run_all(struct upgrade *u, enum upgrade_pass pass)
{
	u->state->pass = pass;
	u->state->keys = 0;
	u->state->kept = 0;
	return iterate(u, COPY, on_copied);
}

/*
 * A report precedes its change. So take the key first, then wait for the change to
 * happen or fail, then read the old map.
 */
int mover_reconcile(struct upgrade *u, enum upgrade_pass pass)
{
	int err = wait_for_programs(u);

	report_sample(u, true);
	if (!err)
		err = mover_run(u, &u->dirty, pass);
	if (!err)
		keyset_clear(&u->dirty);
	return err;
}

int mover_list(struct upgrade *u)
{
	return iterate(u, LIST, on_listed);
}
