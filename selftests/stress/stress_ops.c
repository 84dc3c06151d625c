// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which results of system calls mean that the operation was reported is taken from
 * kernel/bpf/syscall.c and hashtab.c:
 *
 * A map reports an element once its arguments are known to be valid. These are, so
 * whatever the map returns then, it has reported. Of the errors accepted here, only
 * -ENOMEM may also come before that: if a buffer for the key and the value cannot be
 * allocated. The kernel does not fail allocations as small as these.
 *
 * Update and delete batches end at the element that fails, which was reported, but
 * is not in the count. A lookup-and-delete batch reports what it has unlinked, and
 * that is its count, unless it cannot copy to user space.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "stress_actors.h"
#include "newer.h"
#include "stress_ops.h"

#define SMALL 4			/* size of small maps */
#define BATCH 4			/* elements of an update or delete batch */
#define ROUNDS 16		/* operations before others may run */
#define INVALID 64		/* a flag that does not exist */

struct values {
	__u64 on[STRESS_KEYS * STRESS_CPUS];
};

static __u32 pick(struct actor *a, __u32 n)
{
	return rand_r(&a->random) / 16 % n;
}

/* An array rejects BPF_NOEXIST without a report. */
static __u64 pick_flags(struct actor *a)
{
	__u64 flags = a->all->only_new ? BPF_NOEXIST : pick(a, 3);

	return flags == BPF_NOEXIST && a->all->array ? BPF_ANY : flags;
}

static struct values pick_values(struct actor *a)
{
	struct values values;
	__u64 first = rand_r(&a->random);

	for (int i = 0; i < STRESS_KEYS * STRESS_CPUS; i++)
		values.on[i] = first + i;
	return values;
}

static void begin(struct actor *a, enum stress_path path)
{
	__atomic_store_n(&a->slot->path, path, __ATOMIC_RELAXED);
}

/* The operations ended with `err`; n of them must have been reported. */
static void count(struct actor *a, enum stress_hook hook, __u32 n, int err, const char *what)
{
	struct actors *s = a->all;

	switch (err) {
	case 0:
	case STRESS_VETO:
	case -EEXIST:
	case -ENOENT:
	case -E2BIG:
	case -ENOMEM:
	case -EBUSY:
	case -EDEADLK:
	case -ETIMEDOUT:
		break;
	default:
		s->failed = what;
		s->error = err;
	}
	__atomic_fetch_add(&s->skel->bss->issued[hook][a->slot->path], n, __ATOMIC_SEQ_CST);
}

static void single(struct actor *a)
{
	struct values values = pick_values(a);
	__u32 key = pick(a, STRESS_KEYS);
	__u64 flags = pick_flags(a);
	int fd = a->all->target, err;

	begin(a, PATH_SINGLE);
	/* Next to BPF_F_ALL_CPUS, other flags are invalid. */
	if (a->all->cpu_flags && pick(a, 2))
		flags = pick(a, 2) ? BPF_F_ALL_CPUS :
			flags | BPF_F_CPU | (__u64)a->cpu << 32;
	err = bpf_map_update_elem(fd, &key, &values, flags);
	count(a, HOOK_UPDATE, 1, err, "update");
	if (a->all->only_new)
		__atomic_fetch_add(&a->all->skel->bss->inserted, !err, __ATOMIC_SEQ_CST);
	if (a->all->array || pick(a, 2))
		return;
	key = pick(a, STRESS_KEYS);
	count(a, HOOK_DELETE, 1, bpf_map_delete_elem(fd, &key), "delete");
}

static void with_lock(struct actor *a)
{
	__u32 key = pick(a, STRESS_KEYS);
	int fd = a->all->locked, err;
	__u64 value = 0;

	if (fd < 0 || a->all->only_new)
		return;
	begin(a, PATH_LOCK);
	err = bpf_map_update_elem(fd, &key, &value, BPF_F_LOCK | pick_flags(a));
	count(a, HOOK_UPDATE, 1, err, "update with BPF_F_LOCK");
	if (a->all->array || pick(a, 2))
		return;
	key = pick(a, STRESS_KEYS);
	err = bpf_map_lookup_and_delete_elem_flags(fd, &key, &value, BPF_F_LOCK);
	count(a, HOOK_DELETE, 1, err, "lookup_and_delete with BPF_F_LOCK");
}

static void lookup_and_delete(struct actor *a)
{
	__u32 key = pick(a, STRESS_KEYS);
	struct values values;
	int err;

	begin(a, PATH_LOOKUP_AND_DELETE);
	err = bpf_map_lookup_and_delete_elem(a->all->target, &key, &values);
	count(a, HOOK_DELETE, 1, err, "lookup_and_delete");
}

static void batch(struct actor *a)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	__u32 keys[BATCH], done = BATCH;
	struct values values = pick_values(a);
	int err;

	begin(a, PATH_BATCH);
	for (int i = 0; i < BATCH; i++)
		keys[i] = pick(a, STRESS_KEYS);
	if (a->all->only_new || (!a->all->array && pick(a, 2))) {
		err = bpf_map_delete_batch(a->all->target, keys, &done, &opts);
		count(a, HOOK_DELETE, done + !!err, err, "delete batch");
		return;
	}
	if (a->all->cpu_flags && pick(a, 2))
		opts.elem_flags = BPF_F_ALL_CPUS;
	err = bpf_map_update_batch(a->all->target, keys, &values, &done, &opts);
	count(a, HOOK_UPDATE, done + !!err, err, "update batch");
}

static void lookup_and_delete_batch(struct actor *a)
{
	__u32 keys[STRESS_KEYS], done = STRESS_KEYS, cursor;
	struct values values;
	int err;

	begin(a, PATH_LOOKUP_AND_DELETE_BATCH);
	err = bpf_map_lookup_and_delete_batch(a->all->target, NULL, &cursor, keys,
					      &values, &done, NULL);
	/* With too little room for one bucket, it has done nothing. */
	if (err == -ENOSPC)
		err = 0;
	count(a, HOOK_DELETE, done, err, "lookup_and_delete batch");
}

static void invalid(struct actor *a)
{
	__u32 key = pick(a, STRESS_KEYS);
	struct values values = {};

	begin(a, PATH_INVALID);
	if (bpf_map_update_elem(a->all->target, &key, &values, INVALID) != -EINVAL ||
	    (a->all->array &&
	     bpf_map_delete_elem(a->all->target, &key) != -EINVAL)) {
		a->all->failed = "an invalid operation was not rejected";
		a->all->error = -EINVAL;
	}
}

void ops_change(struct actor *a)
{
	static void (*const changes[])(struct actor *a) = {
		single, single, single, with_lock, batch, invalid,
		/* not for arrays */
		lookup_and_delete, lookup_and_delete_batch,
	};
	int n = sizeof(changes) / sizeof(*changes) - 2 * a->all->array;

	for (int i = 0; i < ROUNDS; i++)
		changes[pick(a, n)](a);
}

void ops_fill_small(struct actor *a)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = a->all->flags);
	__u32 keys = a->all->array ? SMALL : 4 * SMALL;
	struct values values = {};
	int fd = bpf_map_create(a->all->type, "small", sizeof(__u32), sizeof(__u64),
				SMALL, &opts);

	if (fd < 0) {
		a->all->failed = "create a map";
		a->all->error = fd;
		return;
	}
	begin(a, PATH_SMALL);
	for (__u32 key = 0; key < keys; key++)
		count(a, HOOK_UPDATE, 1, bpf_map_update_elem(fd, &key, &values, BPF_ANY),
		      "update of a small map");
	close(fd);
	usleep(1000);
}
