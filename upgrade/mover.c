// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Brings the new map in line with the old one, as told by course.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "parts.h"

#define CHUNK 256		/* elements to copy before looking at the reports */
#define BUCKET 16		/* elements to have room for, at first */
#define BATCH_BYTES (1 << 20)	/* ... unless more fit into this */

static int on_mark(void *ctx, void *key, size_t size)
{
	struct upgrade *u = ctx;

	if (keyset_add(&u->dirty, key))
		u->out_of_memory = true;
	return 0;
}

int mover_open_ring(struct upgrade *u)
{
	struct bpf_map *map = bpf_object__find_map_by_name(u->obj, "upgrade_marks");

	u->marks = ring_buffer__new(bpf_map__fd(map), on_mark, u, NULL);
	return u->marks ? 0 : report_error(u, -errno, "cannot read the ring of reports");
}

/* Take about as much as the ring holds now: it may be filled while it is read. */
int mover_drain(struct upgrade *u)
{
	int n = ring_buffer__consume_n(u->marks, u->opts.marks_size / 16);

	report_sample(u, false);
	if (n < 0)
		return report_error(u, n, "cannot read the ring of reports");
	return u->out_of_memory ? report_error(u, -ENOMEM, "no memory for keys") : 0;
}

/* Have the kernel compare the elements of these keys, of the new map or the old one. */
static int run_keys(struct upgrade *u, const char *keys, __u32 count, bool of_new)
{
	size_t size = of_new ? bpf_map__key_size(u->new_map) : u->dirty.key_size;
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err = 0;

	u->state->batch_of_new = of_new;
	for (__u32 i = 0, n; !err && i < count; i += n) {
		n = count - i < UPGRADE_BATCH ? count - i : UPGRADE_BATCH;
		u->state->batch = n;
		for (__u32 j = 0; j < n; j++)
			memcpy(u->batch + j * u->stride, keys + (i + j) * size, size);
		err = bpf_prog_test_run_opts(bpf_program__fd(u->prog[BATCH]), &opts);
		report_sample(u, false);
	}
	return err ? report_error(u, err, "cannot run upgrade_batch") : 0;
}

/* All keys of the old map: an iterator that writes a byte for each. */
int mover_run_old(struct upgrade *u, enum upgrade_pass pass)
{
	int fd = bpf_iter_create(bpf_link__fd(u->link[COPY])), err = 0;
	char data[CHUNK];
	ssize_t n = 1;

	if (fd < 0)
		return report_error(u, fd, "cannot make an iterator");
	u->state->pass = pass;
	u->state->keys = 0;
	u->state->kept = 0;
	while (!err && n) {
		n = read(fd, data, sizeof(data));
		if (n >= 0)
			err = mover_drain(u);
		else if (errno != EAGAIN && errno != EINTR)
			err = report_error(u, -errno, "cannot read an iterator");
	}
	close(fd);
	return err;
}

/* For so many elements: if their values are small, a whole batch. */
static __u32 room_for(size_t value)
{
	size_t room = BATCH_BYTES / value;

	return room < BUCKET ? BUCKET : room < UPGRADE_BATCH ? room : UPGRADE_BATCH;
}

/*
 * All keys of the new map, while the new version changes it. An iterator can miss
 * elements even if they do not change. A batch cannot: each bucket is copied under
 * its lock. It has to have room for all elements of a bucket.
 */
int mover_run_new(struct upgrade *u, enum upgrade_pass pass)
{
	size_t key = bpf_map__key_size(u->new_map);
	size_t value = (bpf_map__value_size(u->new_map) + 7) / 8 * 8 *
		       (u->percpu ? libbpf_num_possible_cpus() : 1);
	__u32 room = room_for(value), token[64], count;	/* the kernel's token is a __u32 */
	char *keys = malloc(room * key), *values = malloc(room * value);
	int err = keys && values ? 0 : -ENOMEM;
	void *in = NULL;

	u->state->pass = pass;
	while (!err) {
		count = room;
		err = bpf_map_lookup_batch(bpf_map__fd(u->new_map), in, token, keys, values,
					   &count, NULL);
		if (err == -ENOSPC) {
			room *= 2;
			free(keys);
			free(values);
			keys = malloc(room * key);
			values = malloc(room * value);
			err = keys && values ? 0 : -ENOMEM;
			continue;
		}
		if (!err || err == -ENOENT)
			err = run_keys(u, keys, count, true) ?: err;
		in = token;
	}
	free(values);
	free(keys);
	return err == -ENOENT ? 0 : report_error(u, err, "cannot list the new map");
}

/*
 * A report precedes its change. So take the key first, then wait for the change to
 * happen or fail, then read the old map.
 */
int mover_reconcile(struct upgrade *u, enum upgrade_pass pass)
{
	int err = wait_for_programs(u);

	report_sample(u, true);
	u->state->pass = pass;
	err = err ?: run_keys(u, u->dirty.keys, u->dirty.count, false);
	if (!err)
		keyset_clear(&u->dirty);
	return err;
}
