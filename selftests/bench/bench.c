// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures what an operation on a map costs; run by vm/bench.py. Not a test.
 *
 *   bench instructions|nanoseconds SETUP
 *
 * Instructions need a guest with one CPU whose emulator counts them: its time
 * stamp counter advances by one per instruction. The setups are in setups[] below.
 * For each map type, operation and path (who operates: a program or a system
 * call), it prints one of
 *
 *   figure SETUP TYPE OPERATION PATH COST
 *   skipped SETUP TYPE OPERATION PATH		attached, but was not run
 *   unavailable SETUP TYPE OPERATION PATH	nothing to attach to
 *
 * and "done" at the end; or "error: " with a reason, and exits with status 1. An
 * attached program that does not run exactly once per operation is an error: no
 * figure is printed without that check.
 *
 * Updates and deletions are of existing elements. What was deleted is put back
 * outside the measurement. "evict" is an update that adds an element to a full map.
 */
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>
#include "bench_attach.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const char * const op_names[] = { "update", "delete", "evict" };
static const char * const path_names[] = { "program", "syscall" };

static const struct kind kinds[] = {
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
	    { "htab_lru_map_delete_elem", "htab_lru_map_delete_elem" },
	    { "htab_lru_map_update_elem", "htab_lru_map_update_elem" } } },
	{ "lru_percpu_hash", BPF_MAP_TYPE_LRU_PERCPU_HASH,
	  { { "htab_lru_percpu_map_update_elem", "bpf_percpu_hash_update" },
	    { "htab_lru_map_delete_elem", "htab_lru_map_delete_elem" },
	    { "htab_lru_percpu_map_update_elem", "bpf_percpu_hash_update" } } },
};

static const struct setup setups[] = {
	{ "unpatched" },
	{ "unattached" },
	{ "filtered", FENTRY },
	{ "hit", FENTRY, .hit = true },
	{ "fmod_ret", FMOD_RET, .hit = true },
	{ "after", FENTRY, .after = true, .hit = true },
	{ "fentry_map_fn", FENTRY, .map_function = true, .hit = true },
	{ "multi_filtered", FENTRY_MULTI, .map_function = true },
	{ "multi_hit", FENTRY_MULTI, .map_function = true, .hit = true },
	{ "kprobe_map_fn", KPROBE, .map_function = true, .hit = true },
	{ "iterate", .iterate = true },
};

static void measure_row(struct row *r)
{
	double cost;

	snprintf(die_about, sizeof(die_about), "%s %s %s %s", r->setup->name, r->kind->name,
		 r->setup->iterate ? "compare" : op_names[r->target.op],
		 path_names[r->target.path]);
	if (!row_open(r)) {
		printf("unavailable %s\n", die_about);
	} else if (r->watch && !row_check_before(r)) {
		printf("skipped %s\n", die_about);
	} else {
		cost = measure(&r->target);
		row_check_after(r);
		printf("figure %s %.3f\n", die_about, cost);
	}
	row_close(r);
}

static void measure_setup(const struct setup *setup)
{
	/* Nothing to attach to is a result then: libbpf need not complain. */
	if (setup->map_function || setup->after)
		libbpf_set_print(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (int way = 0; way < (setup->iterate ? 1 : 2 * OPS); way++) {
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
		die("no such setup: %s", argv[2]);
	/* The maps' values are one number, per-CPU or not. */
	if (libbpf_num_possible_cpus() != 1)
		die("there is more than one CPU");
	measure_setup(setup);
	printf("done\n");
	return 0;
}
