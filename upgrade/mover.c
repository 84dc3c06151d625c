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
	struct pair *p = ctx;

	if (keyset_add(&p->dirty, key))
		p->out_of_memory = true;
	return 0;
}

int mover_open_ring(struct pair *p)
{
	struct bpf_map *map = pair_map(p, "marks");

	p->marks = ring_buffer__new(bpf_map__fd(map), on_mark, p, NULL);
	return p->marks ? 0 : report_pair_error(p, -errno, "cannot read the ring of reports");
}

/* Take about as much as the ring holds now: it may be filled while it is read. */
static int drain(struct pair *p)
{
	int n = ring_buffer__consume_n(p->marks, p->u->opts.marks_size / 16);

	if (n < 0)
		return report_pair_error(p, n, "cannot read the ring of reports");
	return p->out_of_memory ? report_pair_error(p, -ENOMEM, "no memory for keys") : 0;
}

int mover_drain(struct upgrade *u)
{
	int err = 0;

	for_each_pair(p, u)
		err = err ?: drain(p);
	report_sample(u, false);
	return err;
}

/* Have the kernel compare the elements of these keys, of the new map or the old one. */
static int run_keys(struct pair *p, const char *keys, __u32 count, bool of_new)
{
	size_t size = of_new ? bpf_map__key_size(p->new_map) : p->dirty.key_size;
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err = 0;

	p->state->batch_of_new = of_new;
	for (__u32 i = 0, n; !err && i < count; i += n) {
		n = count - i < UPGRADE_BATCH ? count - i : UPGRADE_BATCH;
		p->state->batch = n;
		for (__u32 j = 0; j < n; j++)
			memcpy(p->batch + j * p->stride, keys + (i + j) * size, size);
		err = bpf_prog_test_run_opts(bpf_program__fd(p->prog[BATCH]), &opts);
		report_sample(p->u, false);
	}
	return err ? report_pair_error(p, err, "cannot run upgrade_batch") : 0;
}

/* All keys of the old map: an iterator that writes a byte for each. */
int mover_run_old(struct pair *p, enum upgrade_pass pass)
{
	int fd = bpf_iter_create(bpf_link__fd(p->link[COPY])), err = 0;
	char data[CHUNK];
	ssize_t n = 1;

	if (fd < 0)
		return report_pair_error(p, fd, "cannot make an iterator");
	p->state->pass = pass;
	p->state->keys = 0;
	p->state->kept = 0;
	while (!err && n) {
		n = read(fd, data, sizeof(data));
		if (n >= 0)
			err = mover_drain(p->u);
		else if (errno != EAGAIN && errno != EINTR)
			err = report_pair_error(p, -errno, "cannot read an iterator");
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
static int list_new(struct pair *p, enum upgrade_pass pass)
{
	size_t key = bpf_map__key_size(p->new_map);
	size_t value = (bpf_map__value_size(p->new_map) + 7) / 8 * 8 *
		       (p->percpu ? libbpf_num_possible_cpus() : 1);
	__u32 room = room_for(value), token[64], count;	/* the kernel's token is a __u32 */
	char *keys = malloc(room * key), *values = malloc(room * value);
	int err = keys && values ? 0 : -ENOMEM;
	void *in = NULL;

	p->state->pass = pass;
	while (!err) {
		count = room;
		err = bpf_map_lookup_batch(bpf_map__fd(p->new_map), in, token, keys, values,
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
			err = run_keys(p, keys, count, true) ?: err;
		in = token;
	}
	free(values);
	free(keys);
	return err == -ENOENT ? 0 : report_pair_error(p, err, "cannot list the new map");
}

/* An array has all of its keys, whatever was in the old map. */
int mover_run_new(struct pair *p, enum upgrade_pass pass)
{
	return p->no_delete ? 0 : list_new(p, pass);
}

static int reconcile(struct pair *p, enum upgrade_pass pass)
{
	int err;

	p->state->pass = pass;
	err = run_keys(p, p->dirty.keys, p->dirty.count, false);
	if (!err)
		keyset_clear(&p->dirty);
	return err;
}

/*
 * A report precedes its change. So take the keys first, then wait for their changes to
 * happen or fail, then read the old maps.
 */
int mover_reconcile(struct upgrade *u, enum upgrade_pass pass)
{
	int err = wait_for_programs(u);

	report_sample(u, true);
	for_each_pair(p, u)
		err = err ?: reconcile(p, pass);
	return err;
}
