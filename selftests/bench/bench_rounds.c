// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bench_rounds.h"

char die_about[96];
static bool instructions;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("error: %s: ", die_about);
	vprintf(format, args);
	printf("\n");
	exit(1);
}

/* Not the kernel's clocks: their calibration is off by some parts per million. */
static __u64 now(void)
{
	struct timespec time;

	if (instructions)
		return __builtin_ia32_rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static int by_size(const void *x, const void *y)
{
	__u64 a = *(const __u64 *)x, b = *(const __u64 *)y;

	return a < b ? -1 : a > b;
}

static double median(__u64 *rounds)
{
	qsort(rounds, ROUNDS, sizeof(*rounds), by_size);
	return rounds[ROUNDS / 2];
}

static double spin(long count)
{
	__u64 rounds[ROUNDS], begin;

	for (int i = 0; i < ROUNDS; i++) {
		long left = count;

		begin = now();
		asm volatile("1: dec %0; jnz 1b" : "+r"(left));
		rounds[i] = now() - begin;
	}
	return median(rounds);
}

void choose_clock(const char *unit)
{
	double spent;

	instructions = !strcmp(unit, "instructions");
	if (!instructions && strcmp(unit, "nanoseconds"))
		die("%s: neither instructions nor nanoseconds", unit);
	spent = spin(20000) - spin(10000);
	if (instructions && spent != 20000)
		die("20000 instructions took %.0f ticks: they are not counted", spent);
}

static void run(struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);

	if (err || opts.retval)
		die("%s failed: %d, %u", bpf_program__name(program), err, opts.retval);
}

/* Raw system calls: libbpf's wrappers are not part of the kernel's cost. */
static void call(const struct target *t, bool empty)
{
	union bpf_attr attr = { .map_fd = bpf_map__fd(t->skel->maps.target) };
	int cmd = t->op == DELETE ? BPF_MAP_DELETE_ELEM : BPF_MAP_UPDATE_ELEM;
	__u32 first = t->skel->bss->first_key;
	__u64 value;
	__u32 key;

	attr.key = (unsigned long)&key;
	if (t->op != DELETE)
		attr.value = (unsigned long)&value;
	for (__u32 i = 0; i < KEYS; i++) {
		value = i;
		key = first + i;
		asm volatile("" : : : "memory");
		if (!empty && syscall(__NR_bpf, cmd, &attr, sizeof(attr)))
			die("the operation failed: %s", strerror(errno));
	}
}

/* An operation for each key, or if `empty`, only the loop around it. */
static __u64 operate(const struct target *t, bool empty)
{
	struct bpf_program *loop = empty ? t->skel->progs.loop_empty :
				   t->op == DELETE ? t->skel->progs.loop_delete :
				   t->skel->progs.loop_update;
	__u64 begin = now(), spent;

	if (t->path == PROGRAM)
		run(loop);
	else
		call(t, empty);
	spent = now() - begin;

	/* Put deleted elements back, outside the measured time. */
	if (t->op == DELETE && !empty)
		run(t->skel->progs.loop_update);
	if (t->op == EVICT && !empty)
		t->skel->bss->first_key += KEYS;
	return spent;
}

/* Without hooks: what it takes to find out what changed. */
static __u64 iterate(const struct target *t)
{
	union bpf_iter_link_info info = {
		.map.map_fd = bpf_map__fd(t->skel->maps.target),
	};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
		    .link_info_len = sizeof(info));
	struct bpf_link *link = bpf_program__attach_iter(t->skel->progs.compare, &opts);
	int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	__u64 begin, spent;
	char none[8];

	if (fd < 0)
		die("no iterator: %s", strerror(errno));
	t->skel->bss->compared = 0;
	begin = now();
	if (read(fd, none, sizeof(none)))
		die("the iterator did not go through the map at once");
	spent = now() - begin;
	if (t->skel->bss->compared != KEYS)
		die("%u of %d elements are equal", t->skel->bss->compared, KEYS);
	close(fd);
	bpf_link__destroy(link);
	return spent;
}

void operate_once(const struct target *t)
{
	operate(t, false);
}

double measure(const struct target *t)
{
	__u64 full[ROUNDS], empty[ROUNDS] = {};

	/*
	 * Programs and maps of the last row are freed later, and until then an operation
	 * may cost more. With instructions for a clock, sleeping takes no time.
	 */
	if (instructions)
		sleep(1);
	for (int i = 0; i < ROUNDS; i++) {
		if (t->iterate) {
			full[i] = iterate(t);
			continue;
		}
		empty[i] = operate(t, true);
		full[i] = operate(t, false);
	}
	return (median(full) - median(empty)) / KEYS;
}
