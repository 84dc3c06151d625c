// SPDX-License-Identifier: GPL-2.0-only
/* Threads on each CPU, and what runs in their interrupts. */
#include <errno.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "cpu.h"
#include "stress_actors.h"
#include "stress_ops.h"

#define CYCLES 1000000		/* between two perf events */
#define PERF_NS 1000000

static void fail(struct actors *s, const char *what, int err)
{
	s->failed = what;
	s->error = err;
}

static void run(struct actors *s, const char *what, struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	if (err || opts.retval)
		fail(s, what, err ?: -EINVAL);
}

static void change_by_program(struct actor *a)
{
	run(a->all, "run_changes", a->all->skel->progs.run_changes);
}

/* Threads whose IDs differ by a multiple of STRESS_SLOTS must not share a slot. */
static bool take_slot(struct actor *a)
{
	__u32 tid = syscall(SYS_gettid), none = 0;

	a->slot = &a->all->skel->bss->slots[tid % STRESS_SLOTS];
	return __atomic_compare_exchange_n(&a->slot->tid, &none, tid, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void *act(void *arg)
{
	struct actor *a = arg;
	struct actors *s = a->all;

	if (use_cpu(a->cpu))
		fail(s, "sched_setaffinity", -errno);
	if (!take_slot(a))
		fail(s, "two threads with one slot", -EBUSY);
	if (a->work == change_by_program)
		run(s, "start_timer", s->skel->progs.start_timer);
	while (!s->failed && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		a->work(a);
		/* Attaching waits until each task has let others run. */
		sched_yield();
	}
	return NULL;
}

static int start_thread(struct actors *s, void (*work)(struct actor *), int cpu)
{
	struct actor *a = &s->actor[s->n];
	int err;

	a->all = s;
	a->work = work;
	a->random = time(NULL) + s->n;
	a->cpu = cpu;
	err = pthread_create(&a->thread, NULL, act, a);
	if (err)
		fail(s, "pthread_create", -err);
	else
		s->n++;
	return -err;
}

/* The clock is a high-resolution timer, which runs in hard interrupt context. */
static int open_perf(int cpu, bool hardware)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = hardware ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = hardware ? PERF_COUNT_HW_CPU_CYCLES : PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = hardware ? CYCLES : PERF_NS,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static bool has_hardware(void)
{
	int fd = open_perf(0, true);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int start_perf(struct actors *s, int cpu)
{
	int prog = bpf_program__fd(s->skel->progs.on_overflow);
	int fd = open_perf(cpu, s->hardware);

	s->perf[cpu] = fd;
	if (fd >= 0 && !ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog))
		return 0;
	fail(s, "perf event", fd < 0 ? fd : -errno);
	return s->error;
}

int actors_start(struct actors *s)
{
	int err = 0;

	s->hardware = s->nmis && has_hardware();
	for (int cpu = 0; cpu < s->cpus && !err; cpu++)
		err = start_perf(s, cpu) ?: start_thread(s, ops_change, cpu) ?:
		      start_thread(s, change_by_program, cpu);
	if (err || s->only_new)
		return err;
	return start_thread(s, ops_fill_small, s->cpus - 1);
}

bool actors_stop(struct actors *s)
{
	struct stress__bss *bss = s->skel->bss;

	__atomic_store_n(&s->stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < s->n; i++)
		pthread_join(s->actor[i].thread, NULL);
	/* Closing waits until the event is stopped on its CPU. */
	for (int cpu = 0; cpu < s->cpus; cpu++)
		close(s->perf[cpu]);
	__atomic_store_n(&bss->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 1000; i++) {
		if (__atomic_load_n(&bss->timers_stopped, __ATOMIC_SEQ_CST) ==
		    bss->timers_started)
			return true;
		usleep(10000);
	}
	return false;
}
