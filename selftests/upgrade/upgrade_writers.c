// SPDX-License-Identifier: GPL-2.0-only
/* Two threads on each CPU, and the gate that holds back half of them, or all. */
#include <string.h>
#include <unistd.h>
#include <bpf/libbpf.h>
#include "cpu.h"
#include "upgrade_ops.h"
#include "upgrade_writers.h"

int load_shape(struct load *load, struct bpf_map *map, __u32 type, __u32 flags, bool new)
{
	__u32 size = new ? 4 * LOAD_KEYS : LOAD_KEYS * 3 / 4;
	__u32 ballast = load->ballast;

	load->cpus = libbpf_num_possible_cpus();
	load->array = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
	load->lru = type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
	load->percpu = type == BPF_MAP_TYPE_PERCPU_ARRAY ||
		       type == BPF_MAP_TYPE_PERCPU_HASH ||
		       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
	if (load->array)
		size = new ? LOAD_KEYS + LOAD_SHIFT : LOAD_KEYS;
	else if (ballast && load->lru && new)
		size = 2 * load->cpus * (LOAD_KEYS + ballast);
	else if (ballast)
		size = LOAD_KEYS + ballast;
	else if (load->lru && !new)
		size = LOAD_KEYS / 2;
	return bpf_map__set_type(map, type) ?: bpf_map__set_map_flags(map, flags) ?:
	       bpf_map__set_max_entries(map, size);
}

static bool is_held(const struct writer *w)
{
	enum load_hold hold = __atomic_load_n(&w->load->hold, __ATOMIC_SEQ_CST);

	return hold == LOAD_HOLD_ALL || (hold == LOAD_HOLD_SYSCALLS && !w->program);
}

static bool gate_closed(const struct writer *w)
{
	return is_held(w) && !__atomic_load_n(&w->load->stop, __ATOMIC_SEQ_CST);
}

/* Those that are held must stop here while the gate is closed. */
static void wait_at_gate(struct writer *w)
{
	__u64 start = 0;

	while (true) {
		__atomic_store_n(&w->busy, 1, __ATOMIC_SEQ_CST);
		if (!gate_closed(w))
			break;
		__atomic_store_n(&w->busy, 0, __ATOMIC_SEQ_CST);
		start = start ?: load_now();
		usleep(200);
	}
	if (start)
		w->held_ns += load_now() - start;
}

static void *work(void *arg)
{
	struct writer *w = arg;

	use_cpu(w->cpu);
	while (!__atomic_load_n(&w->load->stop, __ATOMIC_SEQ_CST)) {
		wait_at_gate(w);
		if (w->program)
			load_by_program(w);
		else
			load_by_syscall(w);
		__atomic_store_n(&w->busy, 0, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

void load_hold(struct load *load, enum load_hold hold)
{
	__atomic_store_n(&load->hold, hold, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2 * load->cpus; i++)
		while (is_held(&load->writer[i]) &&
		       __atomic_load_n(&load->writer[i].busy, __ATOMIC_SEQ_CST))
			usleep(100);
}

void load_release(struct load *load, bool use_new, int claim_fd)
{
	__atomic_store_n(&load->claim_fd, claim_fd, __ATOMIC_SEQ_CST);
	__atomic_store_n(&load->use_new, use_new, __ATOMIC_SEQ_CST);
	__atomic_store_n(&load->hold, LOAD_HOLD_NONE, __ATOMIC_SEQ_CST);
}

static void start_interrupts(struct load *load)
{
	memset(load->interrupts, 0, LOAD_INTERRUPTS * sizeof(*load->interrupts));
	for (int i = 0; i < LOAD_INTERRUPTS; i++) {
		struct writer *w = &load->writer[LOAD_THREADS + i];

		w->load = load;
		w->cpu = i % LOAD_CPUS;
		w->program = true;
		load->interrupts[i].array = load->array;
		__atomic_store_n(&load->interrupts[i].writer, LOAD_THREADS + i,
				 __ATOMIC_SEQ_CST);
	}
}

int load_start(struct load *load)
{
	int err = load_fill(load);

	if (load->interrupts)
		start_interrupts(load);
	for (int i = 0; i < 2 * load->cpus && !err; i++) {
		struct writer *w = &load->writer[i];

		w->load = load;
		w->id = i;
		w->cpu = i % load->cpus;
		w->program = i < load->cpus;
		w->random = load_now() * 2654435761 + i;
		err = pthread_create(&w->thread, NULL, work, w);
	}
	return err;
}

/*
 * Interrupts end first: once the threads of each CPU have seen the stop, none that
 * had begun before goes on.
 */
void load_end(struct load *load)
{
	for (int i = 0; i < LOAD_INTERRUPTS && load->interrupts; i++)
		__atomic_store_n(&load->interrupts[i].stop, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&load->stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < LOAD_THREADS; i++)
		if (load->writer[i].thread)
			pthread_join(load->writer[i].thread, NULL);
	for (int i = 0; i < LOAD_INTERRUPTS && load->interrupts; i++)
		load_remember_interrupts(&load->writer[LOAD_THREADS + i],
					 &load->interrupts[i]);
}

__u64 load_done_on(const struct load *load, int cpu)
{
	__u64 sum = 0;

	for (int i = cpu; i < 2 * load->cpus; i += load->cpus)
		sum += __atomic_load_n(&load->writer[i].done, __ATOMIC_RELAXED);
	return sum;
}

__u64 load_done(const struct load *load)
{
	__u64 sum = 0;

	for (int cpu = 0; cpu < load->cpus; cpu++)
		sum += load_done_on(load, cpu);
	return sum;
}

void load_wait(const struct load *load, __u64 changes)
{
	__u64 begin = load_now(), done = load_done(load);

	while (load_done(load) - done < changes && load_now() - begin < 2000000000ULL)
		usleep(2000);
}
