/* SPDX-License-Identifier: GPL-2.0-only */
/* An upgrade under load, step by step. */
#ifndef UPGRADE_RUN_H
#define UPGRADE_RUN_H

#include <sys/mman.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade_reason.h"
#include "upgrade_judge.h"
#include "upgrade_writers.h"
#include "upgrade_load.skel.h"
#include "upgrade_old.skel.h"

#define SAMPLES 1000		/* printed for a plot, during the first upgrade */
#define PILE 17000		/* reports to pile up before the reconcile passes */

struct run {
	struct load *load;
	struct upgrade_old *old;
	struct upgrade_load *new;
	struct upgrade *upgrade;
	int (*hold)(void *ctx);	/* NULL: run_hold() */
	bool without_hooks;
	bool interrupts;	/* change the maps, too */
	bool nmis;		/* among them, NMIs */
	__u32 ballast;
	int upgrades;		/* done before this one */
	__u64 begin;
	int samples;
};

static inline int run_attach_new(void *ctx)
{
	struct run *run = ctx;
	int err;

	err = upgrade_load__attach(run->new);
	/* Let reports pile up. */
	load_wait(run->load, PILE);
	return err;
}

static inline int run_detach_old(void *ctx)
{
	struct run *run = ctx;

	if (!run->upgrades)
		printf("# switch %llu\n", (load_now() - run->begin) / 1000000);
	/* For a while, every event runs both versions. */
	load_wait(run->load, PILE / 20);
	upgrade_old__detach(run->old);
	return 0;
}

static inline int run_hold(void *ctx)
{
	load_hold(((struct run *)ctx)->load, LOAD_HOLD_SYSCALLS);
	return 0;
}

static inline void run_release(void *ctx, enum upgrade_phase phase)
{
	struct run *run = ctx;
	int claim_fd = bpf_program__fd(run->new->progs.upgrade_claim);

	load_release(run->load, phase >= UPGRADE_SWITCHED,
		     phase == UPGRADE_SWITCHED ? claim_fd : 0);
}

static inline void run_sample(void *ctx, const struct upgrade_sample *s)
{
	struct run *run = ctx;

	if (run->upgrades || run->samples++ >= SAMPLES)
		return;
	printf("# sample %llu %llu %llu %llu %d\n", (load_now() - run->begin) / 1000000,
	       load_done(run->load), s->dirty, s->copied, s->phase);
}

/* The load is shared with child processes. */
static inline void run_setup(struct __test_metadata *_metadata, struct run *run)
{
	libbpf_set_print(print_warnings);
	ASSERT_GE(LOAD_CPUS, libbpf_num_possible_cpus());
	run->load = mmap(NULL, sizeof(*run->load), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, run->load);
}

static inline void run_teardown(struct run *run)
{
	munmap(run->load, sizeof(*run->load));
}

/* Where the old version's programs are to let time pass, without the hooks. */
static inline int run_dawdle(struct run *run, const struct map_kind *kind)
{
	const char *update = "htab_map_update_elem", *delete = "htab_map_delete_elem";

	if (kind->array)
		update = "array_map_update_elem";
	else if (kind->lru && kind->percpu)
		update = "htab_lru_percpu_map_update_elem";
	else if (kind->lru)
		update = "htab_lru_map_update_elem";
	else if (kind->percpu)
		update = "htab_percpu_map_update_elem";
	if (kind->array)
		delete = "array_map_delete_elem";
	else if (kind->lru)
		delete = "htab_lru_map_delete_elem";
	return bpf_program__set_attach_target(run->old->progs.dawdle_update, 0, update) ?:
	       bpf_program__set_attach_target(run->old->progs.dawdle_delete, 0, delete);
}

static inline void run_open_old(struct __test_metadata *_metadata, struct run *run,
				const struct map_kind *kind)
{
	struct load *load = run->load;

	run->old = upgrade_old__open();
	ASSERT_NE(NULL, run->old);
	load->ballast = run->ballast;
	ASSERT_EQ(0, load_shape(load, run->old->maps.old_map, kind->type, kind->flags, false));
	if (run->without_hooks)
		ASSERT_EQ(0, run_dawdle(run, kind));
	bpf_program__set_autoload(run->old->progs.old_hardirq, run->interrupts);
	bpf_program__set_autoload(run->old->progs.old_softirq, run->interrupts);
	bpf_program__set_autoload(run->old->progs.old_nmi, run->interrupts);
	ASSERT_EQ(0, upgrade_old__load(run->old));
	load->old_fd = bpf_map__fd(run->old->maps.old_map);
	load->requests = mmap(NULL, LOAD_THREADS * sizeof(*load->requests),
			      PROT_READ | PROT_WRITE, MAP_SHARED,
			      bpf_map__fd(run->old->maps.requests), 0);
	ASSERT_NE(MAP_FAILED, load->requests);
	if (run->interrupts) {
		load->interrupts = mmap(NULL, LOAD_INTERRUPTS * sizeof(*load->interrupts),
					PROT_READ | PROT_WRITE, MAP_SHARED,
					bpf_map__fd(run->old->maps.interrupts), 0);
		ASSERT_NE(MAP_FAILED, load->interrupts);
	}
	ASSERT_EQ(0, upgrade_old__attach(run->old));
}

static inline void run_open_new(struct __test_metadata *_metadata, struct run *run,
				const struct map_kind *kind)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts),
		.old_map_fd = run->load->old_fd,
		.attach_new = run_attach_new,
		.detach_old = run_detach_old,
		.hold_writers = run->hold ?: run_hold,
		.release_writers = run_release,
		.sample = run_sample,
		.ctx = run,
		.min_passes = 6,
		/* In every other upgrade the ring is too small for the reports. */
		.marks_size = run->upgrades % 2 ? 4096 : 0,
		.without_hooks = run->without_hooks,
		.old_decides = run->without_hooks,
		.in_nmis = run->nmis,
	};

	run->new = upgrade_load__open();
	ASSERT_NE(NULL, run->new);
	ASSERT_EQ(0, load_shape(run->load, run->new->maps.new_map, kind->type, kind->flags,
				true));
	ASSERT_EQ(0, bpf_map__reuse_fd(run->new->maps.requests,
				       bpf_map__fd(run->old->maps.requests)));
	ASSERT_EQ(0, bpf_map__reuse_fd(run->new->maps.interrupts,
				       bpf_map__fd(run->old->maps.interrupts)));
	bpf_program__set_autoload(run->new->progs.new_hardirq, run->interrupts);
	bpf_program__set_autoload(run->new->progs.new_softirq, run->interrupts);
	bpf_program__set_autoload(run->new->progs.new_nmi, run->interrupts);
	ASSERT_EQ(0, open_upgrade(run->new->obj, &opts, &run->upgrade));
	ASSERT_EQ(0, upgrade_load__load(run->new));
	run->load->new_fd = bpf_map__fd(run->new->maps.new_map);
}

static inline void run_close_new(struct run *run)
{
	upgrade_close(run->upgrade);
	upgrade_load__destroy(run->new);
}

static inline void run_close_old(struct run *run)
{
	munmap(run->load->requests, LOAD_THREADS * sizeof(*run->load->requests));
	if (run->interrupts)
		munmap(run->load->interrupts,
		       LOAD_INTERRUPTS * sizeof(*run->load->interrupts));
	upgrade_old__destroy(run->old);
}

#endif /* UPGRADE_RUN_H */
