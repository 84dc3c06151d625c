// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the writers do. Bits of an old key: 0-2 what happens to it after the switch,
 * 3 whether it belongs to a single writer, 4-6 to which one, 7-9 free.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <bpf/bpf.h>
#include "upgrade.h"
#include "upgrade_ops.h"

#define BATCH 4
#define LONG_STRIDE (sizeof(struct new_value) * LOAD_CPUS)

static __u32 rnd(struct writer *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 16;
}

/* Prefer some keys to others, so that reconcile passes become quiet. */
static __u32 pick_key(struct writer *w)
{
	__u32 r = rnd(w), key = (r & 7) | (r & (r >> 8) & 7) << 7;

	if (r & 1 << 20)
		return key | LOAD_OWN | w->id << 4;
	return key | ((r >> 21) & 7) << 4;
}

/*
 * Once the new version is in charge, half of the keys are left alone, so that the
 * old version's last change to them must still be there at the end. Some are
 * changed once by each writer, one in eight for as long as the load runs.
 */
static __u32 pick_new_key(struct writer *w)
{
	__u32 key;

	while (w->sweep < LOAD_KEYS) {
		key = (w->sweep++ * 5 + w->id * 128) % LOAD_KEYS;
		if ((key & 7) < 4 || (key & 7) == 7)
			continue;
		if (!(key & LOAD_OWN) || ((key >> 4) & 7) == w->id)
			return key;
	}
	return pick_key(w) | 7;
}

static struct load_op pick(struct writer *w, bool new)
{
	struct load_op op = { .key = new ? pick_new_key(w) : pick_key(w) };
	__u32 r = rnd(w) % 16;

	op.stamp = (w->id + 1) << 24 | (++w->sequence & 0xffffff);
	op.kind = r < 4 ? LOAD_DELETE : LOAD_UPDATE;
	if (r == 4 || r == 5)
		op.flags = BPF_NOEXIST;
	if (r == 6 || r == 7)
		op.flags = BPF_EXIST;
	if (w->load->array) {
		op.kind = LOAD_UPDATE;
		op.flags = op.flags == BPF_NOEXIST ? BPF_ANY : op.flags;
	}
	if (r >= 14 && w->program && (op.key & LOAD_OWN))
		op.kind = LOAD_READ;
	return op;
}

static void note_time(struct writer *w, __u64 start, __u64 end)
{
	if (end - start > w->longest_ns)
		w->longest_ns = end - start;
}

void load_by_program(struct writer *w)
{
	struct load_request *r = &w->load->requests[w->id];
	__u64 start, end;
	bool new;

	new = w->by_new;
	r->count = 1 + rnd(w) % LOAD_OPS;
	for (__u32 i = 0; i < r->count; i++) {
		r->op[i] = pick(w, new);
		r->result[LOAD_OLD][i] = LOAD_NOT_RUN;
		r->result[LOAD_NEW][i] = LOAD_NOT_RUN;
	}
	start = load_now();
	syscall(SYS_getpgid, LOAD_MAGIC + w->id);
	end = load_now();
	note_time(w, start, end);
	load_log(w, r, start);

	for (__u32 i = 0; i < r->count; i++) {
		/*
		 * Where both versions ran, the new one's result counts; what the
		 * old one then changes counts for nothing.
		 */
		bool new = r->result[LOAD_NEW][i] != LOAD_NOT_RUN;
		long result = r->result[new ? LOAD_NEW : LOAD_OLD][i];

		if (result == LOAD_NOT_RUN)
			w->not_run++;
		else if (r->op[i].kind == LOAD_READ)
			load_check_read(w, &r->op[i], result);
		else if (!result)
			load_remember(w, &r->op[i], new, start, end);
		else
			w->failed++;
	}
	/* The old version's program ran after all that the new one's did. */
	for (__u32 i = 0; i < r->count; i++) {
		if (r->result[LOAD_NEW][i] == LOAD_NOT_RUN || r->result[LOAD_OLD][i] ||
		    r->op[i].kind == LOAD_READ)
			continue;
		if (r->result[LOAD_NEW][i])
			load_remember_alone(w, &r->op[i], start, end);
		else
			w->done_twice++;
	}
}

/* Lay out a value in `buffer`, once for each CPU if per-CPU; returns its size. */
static __u32 make_value(const struct load *load, void *buffer, __u32 stamp, bool new)
{
	__u32 size = new ? sizeof(struct new_value) : 8;
	struct new_value value = { stamp, LOAD_CHECK(stamp) };

	for (int cpu = 0; cpu < load->cpus; cpu++)
		memcpy(buffer + cpu * size, &value, size);
	if (!load->percpu)
		return new ? size : sizeof(struct old_value);
	return size * load->cpus;
}

/*
 * What is claimed belongs to the new version even if the operation fails. So only do
 * what cannot fail: that a deleted key was not there does not matter.
 */
static int by_claim(int claim_fd, int fd, const struct load_op *op, const void *value)
{
	__u32 key = op->key + LOAD_SHIFT;
	int err = upgrade_claim(claim_fd, &key, sizeof(key));

	if (err)
		return err;
	if (op->kind == LOAD_UPDATE)
		return bpf_map_update_elem(fd, &key, value, BPF_ANY);
	err = bpf_map_delete_elem(fd, &key);
	return err == -ENOENT ? 0 : err;
}

/* Every other deletion looks up the value as well. */
static int by_one(struct writer *w, int fd, const struct load_op *op, bool new,
		  int claim_fd)
{
	char value[LONG_STRIDE] = {};
	__u32 key = op->key + (new ? LOAD_SHIFT : 0);

	make_value(w->load, value, op->stamp, new);
	if (claim_fd)
		return by_claim(claim_fd, fd, op, value);
	if (op->kind == LOAD_UPDATE)
		return bpf_map_update_elem(fd, &key, value, op->flags);
	if (op->stamp & 1)
		return bpf_map_lookup_and_delete_elem(fd, &key, value);
	return bpf_map_delete_elem(fd, &key);
}

void load_by_syscall(struct writer *w)
{
	bool new = __atomic_load_n(&w->load->use_new, __ATOMIC_SEQ_CST);
	int claim_fd = __atomic_load_n(&w->load->claim_fd, __ATOMIC_SEQ_CST);
	int fd = new ? w->load->new_fd : w->load->old_fd;
	char values[BATCH * LONG_STRIDE] = {};
	struct load_op op[BATCH];
	__u32 keys[BATCH], count = 1;
	__u64 start, end, size = 0;
	int err;

	op[0] = pick(w, new);
	if (op[0].kind == LOAD_UPDATE && op[0].flags == BPF_ANY && !(rnd(w) & 7) &&
	    !claim_fd)
		count = BATCH;
	for (__u32 i = 0; i < count && count > 1; i++) {
		if (i)
			op[i] = pick(w, new);
		op[i].kind = LOAD_UPDATE;
		keys[i] = op[i].key + (new ? LOAD_SHIFT : 0);
		size = make_value(w->load, values + i * size, op[i].stamp, new);
	}
	start = load_now();
	if (count > 1)
		err = bpf_map_update_batch(fd, keys, values, &count, NULL);
	else
		err = by_one(w, fd, op, new, claim_fd);
	end = load_now();
	note_time(w, start, end);
	if (size == 0 && err)
		count = 0;
	w->failed += !!err;
	for (__u32 i = 0; i < count; i++)
		load_remember(w, &op[i], new, start, end);
}

int load_fill(struct load *load)
{
	struct writer *fill = &load->writer[LOAD_FILL];
	struct load_op op = {};
	int err;

	fill->load = load;
	for (op.key = 0; op.key < LOAD_KEYS + load->ballast; op.key += load->ballast ? 1 : 2) {
		op.stamp = load_fill_stamp(op.key);
		err = by_one(fill, load->old_fd, &op, false, 0);
		if (err)
			return -err;
		if (op.key < LOAD_KEYS)
			load_remember(fill, &op, false, 1, 1);
	}
	return 0;
}
