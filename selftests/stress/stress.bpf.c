// SPDX-License-Identifier: GPL-2.0-only
/* Two programs that count the hooks' calls, and those that change the maps. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "stress.h"

char LICENSE[] SEC("license") = "GPL";

#define ROUNDS 16		/* of a program that was started by a thread */
#define TICK_NS 500000

/* The test sets types, flags and sizes before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STRESS_KEYS);
	__type(key, __u32);
	__type(value, __u64);
} target SEC(".maps");

struct locked_value {
	struct bpf_spin_lock lock;
	__u32 number;
};

/* Only for system calls: programs in NMI context must not take the lock. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STRESS_KEYS);
	__type(key, __u32);
	__type(value, struct locked_value);
} locked SEC(".maps");

struct timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STRESS_CPUS);
	__type(key, __u32);
	__type(value, struct timer);
} timers SEC(".maps");

const volatile bool array;
const volatile bool only_new;	/* update with BPF_NOEXIST alone: insert */
struct stress_slot slots[STRESS_SLOTS];
__u64 issued[HOOKS][PATHS];	/* by the test's threads, too */
__u64 fired[HOOKS][PATHS];
__u32 inner[STRESS_CPUS];	/* PATH_TIMER or PATH_PERF while their programs run */
__u64 inserted;			/* by the test's threads, too; if only_new */
__u64 perf_runs, vetoed, odd;
__u32 stop, timers_started, timers_stopped;

static __always_inline struct stress_slot *slot_of(__u32 tid)
{
	return &slots[tid % STRESS_SLOTS];
}

/*
 * The path of the operation that runs here. Interrupts nest, so what a program in one
 * stores for its CPU holds until it is done. Elsewhere, it is the thread that says what
 * it is doing.
 */
static __always_inline __u32 path_here(void)
{
	__u32 path = inner[bpf_get_smp_processor_id() % STRESS_CPUS];
	__u32 tid = bpf_get_current_pid_tgid();
	struct stress_slot *slot = slot_of(tid);

	if (path)
		return path;
	return slot->tid == tid ? slot->path : PATH_UNKNOWN;
}

static __always_inline void count_fired(enum stress_hook hook)
{
	__u32 path = path_here();

	if (path < PATHS)
		__sync_fetch_and_add(&fired[hook][path], 1);
}

/*
 * These see the changes of all maps: the kernel does not know which runs that it
 * skipped would have been of interest.
 */
SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(observe_update)
{
	count_fired(HOOK_UPDATE);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(observe_delete)
{
	count_fired(HOOK_DELETE);
	return 0;
}

static __always_inline void update(enum stress_path path, __u32 *key, __u64 flags)
{
	__u64 value = bpf_get_prandom_u32();

	__sync_fetch_and_add(&issued[HOOK_UPDATE][path], 1);
	if (only_new)
		flags = BPF_NOEXIST;
	if (!bpf_map_update_elem(&target, key, &value, flags) && only_new)
		__sync_fetch_and_add(&inserted, 1);
}

static __always_inline void delete(enum stress_path path, __u32 *key)
{
	if (array)
		return;
	__sync_fetch_and_add(&issued[HOOK_DELETE][path], 1);
	bpf_map_delete_elem(&target, key);
}

static __always_inline void change(enum stress_path path)
{
	__u32 random = bpf_get_prandom_u32(), key = random % STRESS_KEYS;
	__u64 flags = random / STRESS_KEYS % 3;

	/* An array rejects BPF_NOEXIST without a report. */
	if (array && flags == BPF_NOEXIST)
		flags = BPF_ANY;
	update(path, &key, flags);
	if (random >> 31)
		return;
	key = (random >> 16) % STRESS_KEYS;
	delete(path, &key);
}

static __always_inline void change_in_interrupt(enum stress_path path)
{
	__u32 cpu = bpf_get_smp_processor_id() % STRESS_CPUS;
	__u32 interrupted = inner[cpu];

	inner[cpu] = path;
	change(path);
	inner[cpu] = interrupted;
}

static long change_elem(struct bpf_map *map, __u32 *key, void *value, void *ctx)
{
	if (bpf_get_prandom_u32() % 2)
		update(PATH_FOR_EACH, key, BPF_ANY);
	else
		delete(PATH_FOR_EACH, key);
	return 0;
}

SEC("syscall")
int run_changes(void *ctx)
{
	struct stress_slot *slot = slot_of(bpf_get_current_pid_tgid());

	slot->path = PATH_PROG;
	for (int i = 0; i < ROUNDS; i++)
		change(PATH_PROG);
	slot->path = PATH_FOR_EACH;
	bpf_for_each_map_elem(&target, change_elem, NULL, 0);
	return 0;
}

static int tick(void *map, __u32 *key, struct timer *timer)
{
	change_in_interrupt(PATH_TIMER);
	if (stop)
		__sync_fetch_and_add(&timers_stopped, 1);
	else if (bpf_timer_start(&timer->timer, TICK_NS, BPF_F_TIMER_CPU_PIN))
		__sync_fetch_and_add(&odd, 1);
	return 0;
}

/* On the CPU that this runs on. */
SEC("syscall")
int start_timer(void *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct timer *timer = bpf_map_lookup_elem(&timers, &cpu);

	if (!timer || bpf_timer_init(&timer->timer, &timers, 1 /* CLOCK_MONOTONIC */) ||
	    bpf_timer_set_callback(&timer->timer, tick) ||
	    bpf_timer_start(&timer->timer, TICK_NS, BPF_F_TIMER_CPU_PIN))
		return 1;
	__sync_fetch_and_add(&timers_started, 1);
	return 0;
}

SEC("perf_event")
int on_overflow(void *ctx)
{
	__sync_fetch_and_add(&perf_runs, 1);
	change_in_interrupt(PATH_PERF);
	return 0;
}

#include "stress_tracers.bpf.h"
