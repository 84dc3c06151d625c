/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs of both versions share: the old map and the event. */
#ifndef UPGRADE_EVENT_BPF_H
#define UPGRADE_EVENT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "newer.h"
#include "upgrade_request.h"

#define ENOENT 2

char LICENSE[] SEC("license") = "GPL";

/* The tests set type, flags and size before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct old_value);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_THREADS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct load_request);
} requests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_INTERRUPTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct load_interrupt);
} interrupts SEC(".maps");

/*
 * Did the value just read belong to this key? A lookup takes no lock, so an element of an
 * LRU map can be evicted and reused for another key while it is read. Only the reader puts
 * the key back: it is the key's only writer, and the new map of the load evicts nothing.
 */
static __always_inline bool is_still_at(void *map, const __u32 *key, const void *element)
{
	return bpf_map_lookup_elem(map, key) == element;
}

/* What to change in an interrupt: as in upgrade_ops.c, but no key of a single writer's. */
static __always_inline void pick(struct load_interrupt *in, bool new, struct load_op *op)
{
	__u32 r = bpf_get_prandom_u32();

	op->key = (r & 7) | ((r >> 4) & 7) << 4 | ((r >> 8) & (r >> 12) & 7) << 7;
	if (new)
		op->key |= 7;
	op->kind = LOAD_UPDATE;
	op->stamp = (in->writer + 1) << 24 | (++in->sequence & 0xffffff);
	if (in->array)
		return;
	if (!(r >> 30))
		op->kind = LOAD_DELETE;
	else if (!(r >> 28 & 3))
		op->flags = r >> 31 ? BPF_NOEXIST : BPF_EXIST;
}

static __always_inline void note(struct load_interrupt *in, bool new,
				 const struct load_op *op, __u64 start, long err)
{
	struct load_change change = { start, bpf_ktime_get_ns(), op->stamp, new };
	__u32 key = op->key % LOAD_KEYS;

	if (err) {
		in->failed++;
		return;
	}
	in->done[new]++;
	if (op->kind == LOAD_DELETE)
		in->deletion[key] = change;
	else
		in->update[key] = change;
}

static __always_inline struct load_interrupt *interrupt_in(enum load_context context)
{
	__u32 i = context * LOAD_CPUS + bpf_get_smp_processor_id();
	struct load_interrupt *in = bpf_map_lookup_elem(&interrupts, &i);

	return in && in->writer && !in->stop ? in : NULL;
}

#define INTERRUPT(version, name, context, function, active)			\
SEC("?fentry/" function)							\
int BPF_PROG(version##_##name)							\
{										\
	struct load_interrupt *in = interrupt_in(context);			\
										\
	if (in && (active))							\
		bpf_loop(LOAD_CHANGES, version##_change, &in, 0);		\
	return 0;								\
}

/*
 * The event of a version: if `active`, run the operations that a writer requests,
 * each with <version>_op(). Other callers of getpgid() have no request. A loader can
 * switch on events in interrupts: the timer's, RCU's softirq, and the NMI that asks a
 * CPU for a backtrace.
 */
#define EVENT(version, results, active)						\
static long version##_op_at(__u32 i, struct load_request **request)		\
{										\
	struct load_request *r = *request;					\
										\
	if (i >= LOAD_OPS)							\
		return 1;							\
	r->result[results][i] = version##_op(&r->op[i]);			\
	return 0;								\
}										\
										\
SEC("fentry/__x64_sys_getpgid")							\
int BPF_PROG(version##_event, const struct pt_regs *regs)			\
{										\
	__u32 writer = regs->di - LOAD_MAGIC;					\
	struct load_request *r = bpf_map_lookup_elem(&requests, &writer);	\
										\
	if (r && (active))							\
		bpf_loop(r->count, version##_op_at, &r, 0);			\
	return 0;								\
}										\
										\
static long version##_change(__u32 i, struct load_interrupt **interrupt)	\
{										\
	struct load_interrupt *in = *interrupt;					\
	struct load_op op = {};							\
	__u64 start;								\
										\
	pick(in, results, &op);							\
	start = bpf_ktime_get_ns();						\
	note(in, results, &op, start, version##_op(&op));			\
	return 0;								\
}										\
										\
INTERRUPT(version, hardirq, LOAD_HARDIRQ, "update_process_times", active)	\
INTERRUPT(version, softirq, LOAD_SOFTIRQ, "rcu_core_si", active)		\
INTERRUPT(version, nmi, LOAD_NMI, "nmi_cpu_backtrace_handler", active)

#endif /* UPGRADE_EVENT_BPF_H */
