// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the writers do, and what they remember of it. Bits of an old key: 0-2 what
 * becomes of it after the switch, 3 whether one writer has it for its own, 4-5
 * which one, 6-9 anything.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <bpf/bpf.h>
#include "upgrade_writers.h"

#define BATCH 4
#define OWN 8			/* bit 3 */
#define LONG_STRIDE (sizeof(struct new_value) * LOAD_CPUS)

static __u32 rnd(struct writer *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 16;
}

/* Some keys are in use more often than others, so that passes get quiet. */
static __u32 pick_key(struct writer *w)
{
	__u32 r = rnd(w), key = (r & 7) | (r & (r >> 8) & 0xf) << 6;

	if (r & 1 << 20)
		return key | OWN | w->id << 4;
	return key | ((r >> 21) & 3) << 4;
}

/*
 * When the new version is in charge: half of the keys are left alone, so that
 * what the old version did last has to be there at the end. Some are changed
 * once by each writer, one in eight for as long as the load runs.
 */
static __u32 pick_new_key(struct writer *w)
{
	__u32 key;

	while (w->sweep < LOAD_KEYS) {
		key = (w->sweep++ * 5 + w->id * 256) % LOAD_KEYS;
		if ((key & 7) < 4 || (key & 7) == 7)
			continue;
		if (!(key & OWN) || ((key >> 4) & 3) == w->id)
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
	if (r >= 14 && w->program && (op.key & OWN))
		op.kind = LOAD_READ;
	return op;
}

static void note(struct writer *w, struct history *history, const struct load_op *op,
		 bool new, __u64 start, __u64 end)
{
	struct record r = { start, end, op->stamp, op->kind == LOAD_DELETE, new };
	struct history *h = &history[op->key];

	h->key = r;
	for (int cpu = 0; cpu < LOAD_CPUS; cpu++)
		if (!w->load->percpu || !w->program || r.deleted || cpu == w->cpu)
			h->slot[cpu] = r;
}

/* An operation succeeded: it is the writer's last on this key. */
static void remember(struct writer *w, const struct load_op *op, bool new, __u64 start,
		     __u64 end)
{
	note(w, w->history, op, new, start, end);
	w->by_new += new;
	__atomic_add_fetch(&w->done, 1, __ATOMIC_RELAXED);
}

/* Nobody else writes this key, so what is there is known; or it was evicted. */
static void check_read(struct writer *w, const struct load_op *op, long found)
{
	const struct record *r = &w->history[op->key].slot[w->load->percpu ? w->cpu : 0];
	const struct record *maybe = &w->maybe[op->key].slot[w->load->percpu ? w->cpu : 0];
	bool there = r->start && !r->deleted;

	if (!r->start) {
		r = &w->load->writer[LOAD_FILL].history[op->key].slot[0];
		there = r->start;
	}
	if (w->load->lru && (found == -ENOENT || !found))
		return;
	if (maybe->start > r->start && found == (maybe->deleted ? -ENOENT : (long)maybe->stamp))
		return;
	if (w->load->array && !r->start && !found)
		return;
	if (found != (there ? (long)r->stamp : -ENOENT) &&
	    !(w->load->percpu && !there && !found))
		w->wrong_reads++;
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

	for (__u32 i = 0; i < r->count; i++) {
		/*
		 * Where both versions ran, the new one is who counts. But if the
		 * old one's operation succeeded where the new one's failed, since
		 * another one under way came in between, it may have its effect.
		 */
		bool new = r->result[LOAD_NEW][i] != LOAD_NOT_RUN;
		long result = r->result[new ? LOAD_NEW : LOAD_OLD][i];

		if (result == LOAD_NOT_RUN)
			w->not_run++;
		else if (r->op[i].kind == LOAD_READ)
			check_read(w, &r->op[i], result);
		else if (!result)
			remember(w, &r->op[i], new, start, end);
		else
			w->failed++;
		if (new && result && !r->result[LOAD_OLD][i] && r->op[i].kind != LOAD_READ)
			note(w, w->maybe, &r->op[i], false, start, end);
	}
}

__u32 load_value(const struct load *load, void *buffer, __u32 stamp, bool new)
{
	__u32 size = new ? sizeof(struct new_value) : 8;
	struct new_value value = { stamp, LOAD_CHECK(stamp) };

	for (int cpu = 0; cpu < LOAD_CPUS; cpu++)
		memcpy(buffer + cpu * size, &value, size);
	if (!load->percpu)
		return new ? size : sizeof(struct old_value);
	return size * LOAD_CPUS;
}

/* Half of the deletions look the value up as well. */
static int by_one(struct writer *w, int fd, const struct load_op *op, bool new)
{
	char value[LONG_STRIDE] = {};
	__u32 key = op->key + (new ? LOAD_SHIFT : 0);

	load_value(w->load, value, op->stamp, new);
	if (op->kind == LOAD_UPDATE)
		return bpf_map_update_elem(fd, &key, value, op->flags);
	if (op->stamp & 1)
		return bpf_map_lookup_and_delete_elem(fd, &key, value);
	return bpf_map_delete_elem(fd, &key);
}

void load_by_syscall(struct writer *w)
{
	bool new = __atomic_load_n(&w->load->use_new, __ATOMIC_SEQ_CST);
	int fd = new ? w->load->new_fd : w->load->old_fd;
	char values[BATCH * LONG_STRIDE] = {};
	struct load_op op[BATCH];
	__u32 keys[BATCH], count = 1;
	__u64 start, end, size = 0;
	int err;

	op[0] = pick(w, new);
	if (op[0].kind == LOAD_UPDATE && op[0].flags == BPF_ANY && !(rnd(w) & 7))
		count = BATCH;
	for (__u32 i = 0; i < count && count > 1; i++) {
		if (i)
			op[i] = pick(w, new);
		op[i].kind = LOAD_UPDATE;
		keys[i] = op[i].key + (new ? LOAD_SHIFT : 0);
		size = load_value(w->load, values + i * size, op[i].stamp, new);
	}
	start = load_now();
	if (count > 1)
		err = bpf_map_update_batch(fd, keys, values, &count, NULL);
	else
		err = by_one(w, fd, op, new);
	end = load_now();
	note_time(w, start, end);
	if (size == 0 && err)
		count = 0;
	w->failed += !!err;
	for (__u32 i = 0; i < count; i++)
		remember(w, &op[i], new, start, end);
}

int load_fill(struct load *load)
{
	struct writer *fill = &load->writer[LOAD_FILL];
	struct load_op op = {};
	int err;

	fill->load = load;
	for (op.key = 0; op.key < LOAD_KEYS; op.key += 2) {
		op.stamp = (LOAD_FILL + 1) << 24 | op.key;
		err = by_one(fill, load->old_fd, &op, false);
		if (err)
			return -err;
		remember(fill, &op, false, 1, 1);
	}
	return 0;
}
