// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an operation on a map costs; run by vm/bench.py. No test of the hooks.
 *
 *   bench instructions|nanoseconds SETUP
 *
 * For a guest with one CPU whose emulator counts instructions: its time stamp
 * counter advances by one for each. The setups are in setups[] below. For each
 * map type, operation and path (of the operation, not of the program attached)
 * it prints one of
 *
 *   figure SETUP TYPE OPERATION PATH COST
 *   skipped SETUP TYPE OPERATION PATH		attached, but was not run
 *   unavailable SETUP TYPE OPERATION PATH	nothing to attach to
 *
 * and "done" when that is all; or "error: " and why, and exits with status 1.
 * Where an attached program did not run exactly once for each operation, that
 * is an error: there is no figure without a check of it.
 *
 * Updates are those of existing elements. So are deletions, and what was deleted
 * is put back outside the measurement.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bench_rounds.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum via { NOTHING, FENTRY, FMOD_RET, KPROBE };

static const char * const op_names[] = { "update", "delete" };
static const char * const path_names[] = { "program", "syscall" };

/* A map type, and its functions for an [operation] by a [path]. */
static const struct kind {
	const char *name;
	__u32 type;
	const char *function[2][2];
} kinds[] = {
	{ "array", BPF_MAP_TYPE_ARRAY,
	  { { "array_map_update_elem", "array_map_update_elem" } } },
	{ "percpu_array", BPF_MAP_TYPE_PERCPU_ARRAY,
	  { { "array_map_update_elem", "bpf_percpu_array_update" } } },
	{ "hash", BPF_MAP_TYPE_HASH,
	  { { "htab_map_update_elem", "htab_map_update_elem" },
	    { "htab_map_delete_elem", "htab_map_delete_elem" } } },
	{ "percpu_hash", BPF_MAP_TYPE_PERCPU_HASH,
	  { { "htab_percpu_map_update_elem", "bpf_percpu_hash_update" },
	    { "htab_map_delete_elem", "htab_map_delete_elem" } } },
	{ "lru_hash", BPF_MAP_TYPE_LRU_HASH,
	  { { "htab_lru_map_update_elem", "htab_lru_map_update_elem" },
	    { "htab_lru_map_delete_elem", "htab_lru_map_delete_elem" } } },
	{ "lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH,
	  { { "htab_lru_percpu_map_update_elem", "bpf_percpu_hash_update" },
	    { "htab_lru_map_delete_elem", "htab_lru_map_delete_elem" } } },
};

static const struct setup {
	const char *name;
	enum via via;
	bool map_function;	/* attached to that, not to the hook */
	bool hit;		/* the map is the one that the program counts */
	bool iterate;
} setups[] = {
	{ "unpatched" },
	{ "unattached" },
	{ "filtered", FENTRY },
	{ "hit", FENTRY, .hit = true },
	{ "fmod_ret", FMOD_RET, .hit = true },
	{ "fentry_map_fn", FENTRY, .map_function = true, .hit = true },
	{ "kprobe_map_fn", KPROBE, .map_function = true, .hit = true },
	{ "iterate", .iterate = true },
};

/* A setup of a map type, an operation and a path. */
struct row {
	const struct setup *setup;
	const struct kind *kind;
	struct target target;
	struct bpf_program *watch;	/* what is attached, or NULL */
	struct bpf_link *link;
};

static void set_up(struct bpf_map *map, const struct kind *kind)
{
	bool array = !kind->function[DELETE][0];
	int err = bpf_map__set_type(map, kind->type);

	/* The same chains in each run, and so much room that no LRU map evicts. */
	err = err ?: bpf_map__set_map_flags(map, array ? 0 : BPF_F_ZERO_SEED);
	err = err ?: bpf_map__set_max_entries(map, array ? KEYS : 4 * KEYS);
	if (err)
		die("cannot set up a map: %s", strerror(-err));
}

static void fill(struct bpf_map *map)
{
	for (__u32 key = 0; key < KEYS; key++) {
		__u64 value = key;

		if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY))
			die("cannot put an element into a map: %s", strerror(errno));
	}
}

static int attach(struct row *r, const char *function)
{
	r->link = r->setup->via == KPROBE ?
		  bpf_program__attach_kprobe(r->watch, false, function) :
		  bpf_program__attach_trace(r->watch);
	return r->link ? 0 : -errno;
}

/* Load, fill and attach; false where there is nothing to attach to. */
static bool prepare(struct row *r)
{
	const struct setup *setup = r->setup;
	struct target *t = &r->target;
	const char *function = t->op == UPDATE ? "bpf_map_trace_update_elem" :
			       "bpf_map_trace_delete_elem";
	int err = 0;

	t->skel = bench__open();
	if (!t->skel)
		die("cannot open the programs: %s", strerror(errno));
	set_up(t->skel->maps.target, r->kind);
	set_up(t->skel->maps.copy, r->kind);

	r->watch = setup->via == FENTRY ? t->skel->progs.on_fentry :
		   setup->via == FMOD_RET ? t->skel->progs.on_fmod_ret :
		   setup->via == KPROBE ? t->skel->progs.on_kprobe : NULL;
	if (r->watch)
		bpf_program__set_autoload(r->watch, true);
	if (setup->map_function)
		function = r->kind->function[t->op][t->path];
	if (r->watch && setup->via != KPROBE)
		err = bpf_program__set_attach_target(r->watch, 0, function);
	err = err ?: bench__load(t->skel);
	if (!err) {
		fill(t->skel->maps.target);
		fill(t->skel->maps.copy);
		err = r->watch ? attach(r, function) : 0;
	}
	if (setup->map_function && (err == -ESRCH || err == -ENOENT))
		return false;
	if (err)
		die("cannot attach to %s: %s", function, strerror(-err));
	return true;
}

/* Whether each key was seen that often. */
static bool seen_each(const struct row *r, __u32 times)
{
	for (int key = 0; key < KEYS; key++)
		if (r->target.skel->bss->seen[key] != times)
			return false;
	return true;
}

/*
 * Does the program run, and once for each operation? False where it is passed
 * over: while the system call changes a map, the kernel runs no kprobe program.
 */
static bool check_watch(const struct row *r)
{
	struct bench__bss *bss = r->target.skel->bss;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (bpf_map_get_info_by_fd(bpf_map__fd(r->target.skel->maps.target), &info, &len))
		die("cannot tell the map's id: %s", strerror(errno));
	bss->target_id = info.id;
	operate_once(&r->target);
	if (r->setup->via == KPROBE && r->target.path == SYSCALL && seen_each(r, 0))
		return false;
	if (!seen_each(r, 1))
		die("the program did not run once for each operation");
	memset(bss->seen, 0, sizeof(bss->seen));
	if (!r->setup->hit)
		bss->target_id = 0;	/* no map's */
	return true;
}

static void check_after(const struct row *r)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	__u64 value;

	if (r->target.skel->bss->failed)
		die("%u operations failed", r->target.skel->bss->failed);
	if (!seen_each(r, r->setup->hit ? ROUNDS : 0))
		die("the program did not run once for each operation");
	if (r->watch && (bpf_prog_get_info_by_fd(bpf_program__fd(r->watch), &info, &len) ||
			 info.recursion_misses))
		die("the program was skipped %llu times", info.recursion_misses);
	for (__u32 key = 0; key < KEYS; key++)
		if (bpf_map_lookup_elem(bpf_map__fd(r->target.skel->maps.target), &key,
					&value))
			die("key %u has gone: %s", key, strerror(errno));
}

static void measure_row(struct row *r)
{
	double cost;

	snprintf(die_about, sizeof(die_about), "%s %s %s %s", r->setup->name, r->kind->name,
		 r->setup->iterate ? "compare" : op_names[r->target.op],
		 path_names[r->target.path]);
	if (!prepare(r)) {
		printf("unavailable %s\n", die_about);
	} else if (r->watch && !check_watch(r)) {
		printf("skipped %s\n", die_about);
	} else {
		cost = measure(&r->target);
		check_after(r);
		printf("figure %s %.3f\n", die_about, cost);
	}
	bpf_link__destroy(r->link);
	bench__destroy(r->target.skel);
}

static void measure_setup(const struct setup *setup)
{
	/* Where nothing to attach to is a result, libbpf need not complain of it. */
	if (setup->map_function)
		libbpf_set_print(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (int way = 0; way < (setup->iterate ? 1 : 4); way++) {
			struct row r = {
				.setup = setup,
				.kind = &kinds[i],
				.target = {
					.op = way / 2,
					.path = way % 2,
					.iterate = setup->iterate,
				},
			};

			if (kinds[i].function[r.target.op][r.target.path])
				measure_row(&r);
		}
	}
}

int main(int argc, char **argv)
{
	const struct setup *setup = setups;

	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(die_about, sizeof(die_about), "bench");
	if (argc != 3)
		die("usage: bench instructions|nanoseconds SETUP");
	choose_clock(argv[1]);
	while (setup < setups + ARRAY_SIZE(setups) && strcmp(setup->name, argv[2]))
		setup++;
	if (setup == setups + ARRAY_SIZE(setups))
		die("there is no setup %s", argv[2]);
	/* A per-CPU value is one number here. */
	if (libbpf_num_possible_cpus() != 1)
		die("there is more than one CPU");
	measure_setup(setup);
	printf("done\n");
	return 0;
}
