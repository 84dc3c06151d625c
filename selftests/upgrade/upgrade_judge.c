// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does the new map hold what the writers wrote? This file does not know how the
 * map was upgraded. In an order that agrees with real time, an operation can be
 * the last one on a key if no other began after it ended; what the map holds must
 * come from one of those.
 *
 * The kernel copies a value into an array without a lock. So for arrays, that holds
 * for each byte of a value: operations that overlap can leave a mix.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "upgrade_judge.h"

#define STRIDE (sizeof(struct new_value) / sizeof(__u64))

/* The operations that can have been the last on a key, or on a slot of it. */
struct last {
	const struct record *record[2 * (LOAD_WRITERS + 1)];
	int count;
	bool none;		/* it was never written */
	bool new;		/* one of them is by the new version */
	bool deleted, written;	/* a deletion or an update is among them */
};

static const struct record *record_of(const struct history *h, int slot)
{
	return slot < 0 ? &h->key : &h->slot[slot];
}

static void add_last(struct last *last, const struct record *r, __u64 begin)
{
	if (!r->start || r->end < begin)
		return;
	last->record[last->count++] = r;
	last->new |= r->new;
	last->deleted |= r->deleted;
	last->written |= !r->deleted;
}

/*
 * Can a change that the old version alone made have been carried over? Not if the new
 * version had changed the same before.
 */
static bool counts(const struct load *load, __u32 key, int slot, const struct writer *by)
{
	const struct record *alone = &by->history[key].alone;

	if (!alone->start || (load->percpu && slot >= 0 && !alone->deleted && slot != by->cpu))
		return false;
	for (int i = 0; i <= LOAD_WRITERS; i++) {
		const struct record *r = record_of(&load->writer[i].history[key], slot);

		if (r->new && r->end < alone->start)
			return false;
	}
	return true;
}

static struct last find_last(const struct load *load, __u32 key, int slot)
{
	struct last last = {};
	__u64 begin = 0;

	for (int i = 0; i <= LOAD_WRITERS; i++) {
		const struct record *r = record_of(&load->writer[i].history[key], slot);

		if (r->start > begin)
			begin = r->start;
	}
	last.none = !begin;
	for (int i = 0; i <= LOAD_WRITERS; i++) {
		const struct writer *w = &load->writer[i];

		add_last(&last, record_of(&w->history[key], slot), begin);
		if (counts(load, key, slot, w))
			add_last(&last, &w->history[key].alone, begin);
	}
	return last;
}

/* Is each byte from one of these operations? */
static bool is_mix(const struct last *last, const __u64 *value)
{
	/* If the old map held the mix, the check word was made of it. */
	size_t size = value[1] == LOAD_CHECK(value[0]) ? sizeof(__u64) : 2 * sizeof(__u64);

	for (size_t byte = 0; byte < size; byte++) {
		bool found = false;

		for (int i = 0; i < last->count && !found; i++) {
			__u32 stamp = last->record[i]->stamp;
			struct new_value from = { stamp, LOAD_CHECK(stamp) };

			found = !last->record[i]->deleted &&
				((char *)value)[byte] == ((char *)&from)[byte];
		}
		if (!found)
			return false;
	}
	return true;
}

static bool holds(const struct load *load, const struct last *last, const __u64 *value)
{
	/* A CPU's slot is zero until it is written, and again after a deletion. */
	if (!value[0] && !value[1]) {
		if (last->none || (load->percpu && last->deleted))
			return true;
		/* Evicted, then created again by another CPU: like a deletion. */
		return load->percpu && load->lru && !last->new;
	}
	for (int i = 0; i < last->count; i++) {
		const struct record *r = last->record[i];

		if (!r->deleted && value[0] == r->stamp &&
		    value[1] == LOAD_CHECK(r->stamp))
			return true;
	}
	return load->array && is_mix(last, value);
}

static void __attribute__((format(printf, 2, 3)))
say(struct verdict *v, const char *format, ...)
{
	va_list args;

	if (v->first[0])
		return;
	va_start(args, format);
	vsnprintf(v->first, sizeof(v->first), format, args);
	va_end(args);
}

static bool in_old_map(const struct load *load, __u32 key)
{
	__u64 value[LOAD_CPUS];

	return !bpf_map_lookup_elem(load->old_fd, &key, value);
}

static void judge_key(const struct load *load, __u32 key, struct verdict *v)
{
	__u64 value[LOAD_CPUS * STRIDE] = {};
	struct last last = find_last(load, key, -1);
	__u32 new_key = key + LOAD_SHIFT;

	if (bpf_map_lookup_elem(load->new_fd, &new_key, value)) {
		if (last.none || last.deleted)
			return;
		if (load->lru && !last.new && !in_old_map(load, key)) {
			v->evicted++;
			return;
		}
		v->lost++;
		say(v, "key %u is lost: last written as %x by the %s version", key,
		    last.record[0]->stamp, last.record[0]->new ? "new" : "old");
		return;
	}
	v->keys++;
	if (!load->array && !last.written) {
		v->resurrected++;
		say(v, "key %u is still there (%llx), last deleted by the %s version", key,
		    value[0], last.new ? "new" : "old");
		return;
	}
	for (int slot = 0; slot < (load->percpu ? load->cpus : 1); slot++) {
		const __u64 *seen = value + slot * STRIDE;

		last = find_last(load, key, slot);
		if (holds(load, &last, seen))
			continue;
		v->stale++;
		say(v, "key %u, slot %d holds %llx %llx instead of %x by the %s version",
		    key, slot, seen[0], seen[1], last.count ? last.record[0]->stamp : 0,
		    last.count && last.record[0]->new ? "new" : "old");
		break;
	}
}

static void judge_ballast(const struct load *load, __u32 key, struct verdict *v)
{
	__u64 value[LOAD_CPUS * STRIDE] = {};
	__u32 new_key = key + LOAD_SHIFT, stamp = load_fill_stamp(key);

	if (bpf_map_lookup_elem(load->new_fd, &new_key, value)) {
		if (load->lru && !in_old_map(load, key)) {
			v->evicted++;
			return;
		}
		v->lost++;
		say(v, "key %u is lost, which nobody changed", key);
		return;
	}
	v->keys++;
	for (int slot = 0; slot < (load->percpu ? load->cpus : 1); slot++) {
		const __u64 *seen = value + slot * STRIDE;

		if (seen[0] == stamp && seen[1] == LOAD_CHECK(stamp))
			continue;
		v->stale++;
		say(v, "key %u, slot %d holds %llx %llx; nobody changed it", key, slot,
		    seen[0], seen[1]);
		break;
	}
}

void load_judge(const struct load *load, struct verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	for (__u32 key = 0; key < LOAD_KEYS; key++)
		judge_key(load, key, verdict);
	for (__u32 key = LOAD_KEYS; key < LOAD_KEYS + load->ballast; key++)
		judge_ballast(load, key, verdict);
}
