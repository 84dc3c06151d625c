// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bench_attach.h"
#include "multi.h"

static void set_up(struct bpf_map *map, const struct kind *kind, bool full)
{
	bool array = !kind->function[DELETE][0];
	int err = bpf_map__set_type(map, kind->type);

	/*
	 * The same hash chains in each run, and so much room that no LRU map evicts
	 * unless it is to.
	 */
	err = err ?: bpf_map__set_map_flags(map, array ? 0 : BPF_F_ZERO_SEED);
	err = err ?: bpf_map__set_max_entries(map, array || full ? KEYS : 4 * KEYS);
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

static struct bpf_program *program_of(const struct row *r)
{
	switch (r->setup->via) {
	case FENTRY:
		return r->target.skel->progs.on_fentry;
	case FENTRY_MULTI:
		return r->target.skel->progs.on_fentry_multi;
	case FMOD_RET:
		return r->target.skel->progs.on_fmod_ret;
	case KPROBE:
		return r->target.skel->progs.on_kprobe;
	default:
		return NULL;
	}
}

static struct bpf_link *attach_to_one(const struct bpf_program *prog,
				      const char *function)
{
	int id = libbpf_find_vmlinux_btf_id(function, BPF_TRACE_FENTRY);

	errno = -id;
	return id < 0 ? NULL : attach_multi(prog, (__u32[]){ id }, 1);
}

static int attach(struct row *r, const char *function)
{
	r->link = r->setup->via == KPROBE ?
		  bpf_program__attach_kprobe(r->watch, false, function) :
		  r->setup->via == FENTRY_MULTI ? attach_to_one(r->watch, function) :
		  bpf_program__attach_trace(r->watch);
	return r->link ? 0 : -errno;
}

bool row_open(struct row *r)
{
	static const char * const hooks[][OPS] = {
		{ "bpf_map_trace_update_elem", "bpf_map_trace_delete_elem",
		  "bpf_map_trace_update_elem" },
		{ "bpf_map_trace_updated", "bpf_map_trace_deleted",
		  "bpf_map_trace_evicted" },
	};
	const struct setup *setup = r->setup;
	struct target *t = &r->target;
	const char *function = hooks[setup->after][t->op];
	int err = 0;

	t->skel = bench__open();
	if (!t->skel)
		die("cannot open the programs: %s", strerror(errno));
	set_up(t->skel->maps.target, r->kind, t->op == EVICT);
	set_up(t->skel->maps.copy, r->kind, false);

	r->watch = program_of(r);
	if (r->watch)
		bpf_program__set_autoload(r->watch, true);
	if (setup->map_function)
		function = r->kind->function[t->op][t->path];
	if (setup->via == FENTRY || setup->via == FMOD_RET)
		err = bpf_program__set_attach_target(r->watch, 0, function);
	err = err ?: bench__load(t->skel);
	if (!err) {
		fill(t->skel->maps.target);
		fill(t->skel->maps.copy);
		if (t->op == EVICT)
			t->skel->bss->first_key = KEYS;
		err = r->watch ? attach(r, function) : 0;
	}
	if ((setup->map_function || setup->after) && (err == -ESRCH || err == -ENOENT))
		return false;
	if (err)
		die("cannot attach to %s: %s", function, strerror(-err));
	return true;
}

/* Was each key seen that many times? */
static bool seen_each(const struct row *r, __u32 times)
{
	for (int key = 0; key < KEYS; key++)
		if (r->target.skel->bss->seen[key] != times)
			return false;
	return true;
}

bool row_check_before(const struct row *r)
{
	struct bench__bss *bss = r->target.skel->bss;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (bpf_map_get_info_by_fd(bpf_map__fd(r->target.skel->maps.target), &info, &len))
		die("cannot get the id of the map: %s", strerror(errno));
	bss->target_id = info.id;
	operate_once(&r->target);
	if (r->setup->via == KPROBE && r->target.path == SYSCALL && seen_each(r, 0))
		return false;
	if (!seen_each(r, 1))
		die("the program did not run once for each operation");
	memset(bss->seen, 0, sizeof(bss->seen));
	if (!r->setup->hit)
		bss->target_id = 0;	/* no map has that id */
	return true;
}

void row_check_after(const struct row *r)
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
	for (__u32 key = 0; r->target.op != EVICT && key < KEYS; key++)
		if (bpf_map_lookup_elem(bpf_map__fd(r->target.skel->maps.target), &key,
					&value))
			die("key %u is gone: %s", key, strerror(errno));
}

void row_close(struct row *r)
{
	bpf_link__destroy(r->link);
	bench__destroy(r->target.skel);
}
