// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include "upgrade_history.h"

__u64 load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void load_remember(struct writer *w, const struct load_op *op, bool new, __u64 start,
		   __u64 end)
{
	struct record r = { start, end, op->stamp, op->kind == LOAD_DELETE, new };
	struct history *h = &w->history[op->key];

	h->key = r;
	h->alone = (struct record){};
	for (int cpu = 0; cpu < LOAD_CPUS; cpu++)
		if (!w->load->percpu || !w->program || r.deleted || cpu == w->cpu)
			h->slot[cpu] = r;
	w->by_new += new;
	__atomic_add_fetch(&w->done, 1, __ATOMIC_RELAXED);
}

void load_remember_alone(struct writer *w, const struct load_op *op, __u64 start, __u64 end)
{
	struct history *h = &w->history[op->key];

	w->by_old_alone++;
	/* What the new version has changed in the same event is its own. */
	if (h->key.new && h->key.start == start &&
	    !(w->load->percpu && op->kind == LOAD_DELETE))
		return;
	h->alone = (struct record){ start, end, op->stamp, op->kind == LOAD_DELETE };
}

static struct record record_of(const struct load_change *change, bool deleted)
{
	return (struct record){
		change->start, change->end, change->stamp, deleted, change->new,
	};
}

void load_remember_interrupts(struct writer *w, const struct load_interrupt *in)
{
	for (__u32 key = 0; key < LOAD_KEYS; key++) {
		const struct load_change *update = &in->update[key];
		const struct load_change *deletion = &in->deletion[key];
		struct record deleted = record_of(deletion, true);
		struct history *h = &w->history[key];

		h->key = update->start > deletion->start ? record_of(update, false) : deleted;
		for (int cpu = 0; cpu < LOAD_CPUS; cpu++)
			h->slot[cpu] = !w->load->percpu || cpu == w->cpu ? h->key : deleted;
	}
}

void load_log(struct writer *w, const struct load_request *r, __u64 start)
{
	for (__u32 i = 0; i < r->count; i++)
		w->log[w->logged++ % LOAD_LOG] = (struct logged){
			start, r->op[i], { r->result[LOAD_OLD][i], r->result[LOAD_NEW][i] },
		};
}

static void print_log(const struct writer *w, __u32 key)
{
	__u32 first = w->logged < LOAD_LOG ? 0 : w->logged - LOAD_LOG;

	for (__u32 i = first; i < w->logged; i++) {
		const struct logged *l = &w->log[i % LOAD_LOG];

		if (l->op.key == key)
			printf("#   at %llu: kind %u, flags %llu, stamp %x: old version %ld, new %ld\n",
			       l->start, l->op.kind, l->op.flags, l->op.stamp,
			       l->result[LOAD_OLD], l->result[LOAD_NEW]);
	}
}

/* Only this writer writes the key, so what it holds is known, unless evicted. */
void load_check_read(struct writer *w, const struct load_op *op, long found)
{
	int slot = w->load->percpu ? w->cpu : 0;
	const struct record *r = &w->history[op->key].slot[slot];
	const struct record *alone = &w->history[op->key].alone;
	bool there = r->start && !r->deleted;

	if (!r->start) {
		r = &w->load->writer[LOAD_FILL].history[op->key].slot[0];
		there = r->start;
	}
	if (alone->start && found == (alone->deleted ? -ENOENT : (long)alone->stamp))
		return;
	if (w->load->lru && (found == -ENOENT || !found))
		return;
	if (w->load->array && !r->start && !found)
		return;
	if (found == (there ? (long)r->stamp : -ENOENT) ||
	    (w->load->percpu && !there && !found))
		return;
	if (w->wrong_reads++)
		return;
	printf("# writer %d reads %lx from key %u instead of %x by the %s version%s\n",
	       w->id, found, op->key, r->stamp, r->new ? "new" : "old",
	       there ? "" : ", deleted");
	if (alone->start)
		printf("#   or %x by the old version alone%s\n", alone->stamp,
		       alone->deleted ? ", deleted" : "");
	print_log(w, op->key);
}
