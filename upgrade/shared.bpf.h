/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the maps of an object share: the phase, events, and what needs no types. */
#ifndef UPGRADE_SHARED_BPF_H
#define UPGRADE_SHARED_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "events.bpf.h"
#include "state.h"

#define UPGRADE_STR_(name) #name
#define UPGRADE_STR(name) UPGRADE_STR_(name)

/* Not in vmlinux.h. */
#define UPGRADE_EPERM 1
#define UPGRADE_E2BIG 7
#define UPGRADE_EBUSY 16

struct upgrade_state upgrade SEC(".data.upgrade") = {};

/* Set by upgrade_open(); otherwise, all of the library is dead code. */
const volatile __u8 upgrade_enabled SEC(".rodata.upgrade_enabled") = 0;

static __always_inline __u32 upgrade_phase(void)
{
	return *(volatile __u32 *)&upgrade.phase;
}

/*
 * From the switch until the old version is detached, an event runs both versions:
 * the new one handles it and notes that here, and then the old one's changes of its
 * maps are refused. An event is told from others by where its trampoline keeps the
 * context of the program that it runs, which is the same for all its programs. As
 * long as an event lasts, no other one has the same place on a stack; and no later
 * event there can be the old version's. If there is no room to note it, the old version
 * changes its maps, too.
 */
__noinline int upgrade_note_event(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 event = (__u64)BPF_CORE_READ(task, bpf_ctx);

	if (event && !upgrade_add_event(event))
		__sync_fetch_and_add(&upgrade.handled_twice, 1);
	return 0;
}

/* For the hooks, which the programs of an event call: does the new version handle it? */
static __always_inline bool upgrade_event_is_noted(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_tramp_run_ctx *run;
	__u64 event;

	run = (struct bpf_tramp_run_ctx *)BPF_CORE_READ(task, bpf_ctx);
	event = (__u64)BPF_CORE_READ(run, saved_run_ctx);
	return event && upgrade_has_event(event);
}

/* Does the new version handle this event? Ask once per event. */
static __always_inline bool upgrade_active(void)
{
	if (!upgrade_enabled)
		return true;
	if (upgrade_phase() == UPGRADE_WATCHING)
		return false;
	if (*(volatile __u32 *)&upgrade.gate)
		upgrade_note_event();
	return true;
}

enum upgrade_op {
	UPGRADE_READ, UPGRADE_WRITE, UPGRADE_FORGET, UPGRADE_UPDATE, UPGRADE_DELETE,
	UPGRADE_CLAIM,
};

/* In the other phases, and for READ in the last, the new map is all there is. */
static __always_inline bool upgrade_in_window(__u32 phase, enum upgrade_op op)
{
	return phase == UPGRADE_SWITCHED || (phase == UPGRADE_SETTLED && op != UPGRADE_READ);
}

/* For processes, which may ask before the upgrade has begun. */
static __always_inline bool upgrade_is_old_in_charge(__u32 phase)
{
	return phase < UPGRADE_SWITCHED || *(volatile __u32 *)&upgrade.replacing;
}

static const __u64 upgrade_zeroes[UPGRADE_MAX_VALUE / 8] SEC(".rodata.upgrade_zeroes");

/* Memory of any kind and size, without a loop for the verifier to follow. */
#define upgrade_copy_bytes(to, from, size) bpf_probe_read_kernel(to, size, from)
#define upgrade_zero_bytes(to, size) bpf_probe_read_kernel(to, size, upgrade_zeroes)

/*
 * Do two padded buffers differ? In global functions only, each of which is verified
 * once. Without an early exit, there is one path for the verifier.
 */
static __always_inline __u64 upgrade_differ(const __u64 *a, const __u64 *b, __u32 size)
{
	__u64 differ = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < size / 8; i++)
		differ |= a[i] ^ b[i];
	return differ;
}

#define UPGRADE_TRIES (1 << 23)	/* to take a lock, per bpf_loop(): its maximum */
#define UPGRADE_LOOPS 16	/* the holder's vCPU may not run for long */

extern void bpf_local_irq_save(unsigned long *flags__irq_flag) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags__irq_flag) __weak __ksym;
extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __weak __ksym;

struct upgrade_spin {
	__u32 *holder;
	__u32 me;
	__u32 taken;
	__u32 mine;		/* we interrupted the holder, on this CPU */
};

static long upgrade_spin_once(__u64 i, struct upgrade_spin *spin)
{
	__u32 holder = __sync_val_compare_and_swap(spin->holder, 0, spin->me);

	spin->taken = !holder;
	spin->mine = holder == spin->me;
	return spin->taken || spin->mine;
}

/* Not a loop in upgrade_lock(), of which the verifier would follow every exit. */
static long upgrade_spin_more(__u64 i, struct upgrade_spin *spin)
{
	bpf_loop(UPGRADE_TRIES, upgrade_spin_once, spin, 0);
	return spin->taken || spin->mine;
}

#endif /* UPGRADE_SHARED_BPF_H */
