/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The traced map and its recorder: open a map of any kind, change it from a system
 * call or from a program. All of this is inline, because kselftest_harness.h can
 * only be used in one source file of a program.
 */
#ifndef TRACED_H
#define TRACED_H

#include <string.h>
#include "hook_test.h"
#include "recorder.skel.h"

#define VALUE_STRIDE 16		/* sizeof(struct elem_value), rounded up to 8 */

#define VIA(via) (1u << (via))
#define VIA_ALL (VIA(VIA_FENTRY) | VIA(VIA_FEXIT) | VIA(VIA_FMOD_RET))

struct traced {
	struct recorder *skel;
	const struct map_kind *kind;
	unsigned int via;	/* bit mask of VIA() */
	int fd;
	int nr_cpus;
	int cpu;		/* where the test runs: the last CPU */
};

/* The values of one element, one for each CPU; only the first unless per-CPU. */
struct values {
	struct elem_value on[MAX_CPUS];
};

/* Does an update with these flags pass one value, or one for each CPU? */
static inline bool one_value(const struct traced *t, __u64 flags)
{
	return !t->kind->percpu || (flags & (BPF_F_CPU | BPF_F_ALL_CPUS));
}

static inline void autoload(struct traced *t, enum via via, struct bpf_program *update,
			    struct bpf_program *delete)
{
	bpf_program__set_autoload(update, t->via & VIA(via));
	bpf_program__set_autoload(delete, t->via & VIA(via));
}

static inline void traced_open(struct __test_metadata *_metadata, struct traced *t,
			       const struct map_kind *kind, unsigned int via)
{
	struct recorder *skel;

	libbpf_set_print(print_warnings);
	t->kind = kind;
	t->via = via;
	t->nr_cpus = libbpf_num_possible_cpus();
	ASSERT_LT(1, t->nr_cpus) TH_LOG("the guest needs two CPUs");
	ASSERT_GE(MAX_CPUS, t->nr_cpus);

	/* Not CPU 0, to catch a CPU number that is always 0. */
	t->cpu = t->nr_cpus - 1;
	ASSERT_EQ(0, use_cpu(t->cpu));

	skel = t->skel = recorder__open();
	ASSERT_NE(NULL, skel);
	bpf_map__set_type(skel->maps.target, kind->type);
	bpf_map__set_map_flags(skel->maps.target, kind->flags);
	bpf_map__set_max_entries(skel->maps.target, MAX_ENTRIES);
	skel->rodata->percpu = kind->percpu;
	skel->rodata->nr_cpus = t->nr_cpus;
	autoload(t, VIA_FENTRY, skel->progs.fentry_update,
		 skel->progs.fentry_delete);
	autoload(t, VIA_FEXIT, skel->progs.fexit_update,
		 skel->progs.fexit_delete);
	autoload(t, VIA_FMOD_RET, skel->progs.fmod_ret_update,
		 skel->progs.fmod_ret_delete);
	ASSERT_EQ(0, recorder__load(skel));

	t->fd = bpf_map__fd(skel->maps.target);
	skel->bss->target_id = id_of(t->fd);
	ASSERT_NE(0, skel->bss->target_id);
	ASSERT_EQ(0, recorder__attach(skel));
}

static inline void traced_close(struct traced *t)
{
	recorder__destroy(t->skel);
	t->skel = NULL;
}

static inline void traced_forget(struct traced *t)
{
	memset(t->skel->bss->events, 0, sizeof(t->skel->bss->events));
	t->skel->bss->n_events = 0;
}

/* Values that tell which key, CPU and generation they are for. */
static inline struct values make_values(__u32 key, __u32 generation)
{
	struct values values;

	for (__u32 cpu = 0; cpu < MAX_CPUS; cpu++)
		values.on[cpu] = (struct elem_value){
			key * 1000 + 7, generation, 0xc0de0000 + cpu };
	return values;
}

/* The same, but every CPU has the value of the first. */
static inline struct values same_on_all(__u32 key, __u32 generation)
{
	struct values values = make_values(key, generation);

	for (int cpu = 1; cpu < MAX_CPUS; cpu++)
		values.on[cpu] = values.on[0];
	return values;
}

static inline int traced_run(struct bpf_program *prog, struct op *op)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = op,
		    .ctx_size_in = sizeof(*op));
	int err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);

	return err ?: (int)op->result;
}

/* The operations return 0 or a negative errno. */
static inline int traced_put(struct traced *t, enum from from, __u32 key,
			     const struct values *values, __u64 flags)
{
	char buffer[MAX_CPUS * VALUE_STRIDE] = {};
	struct op op = { .key = key, .value = values->on[0], .flags = flags };

	if (from == FROM_PROG)
		return traced_run(t->skel->progs.op_update, &op);
	for (int cpu = 0; cpu < (one_value(t, flags) ? 1 : t->nr_cpus); cpu++)
		memcpy(buffer + cpu * VALUE_STRIDE, &values->on[cpu],
		       sizeof(values->on[cpu]));
	return bpf_map_update_elem(t->fd, &key, buffer, flags);
}

static inline int traced_delete(struct traced *t, enum from from, __u32 key)
{
	struct op op = { .key = key };

	return from == FROM_PROG ?
	       traced_run(t->skel->progs.op_delete, &op) :
	       bpf_map_delete_elem(t->fd, &key);
}

static inline int traced_get(struct traced *t, __u32 key, struct values *values)
{
	char buffer[MAX_CPUS * VALUE_STRIDE] = {};
	int err = bpf_map_lookup_elem(t->fd, &key, buffer);

	memset(values, 0, sizeof(*values));
	for (int cpu = 0; cpu < (t->kind->percpu ? t->nr_cpus : 1); cpu++)
		memcpy(&values->on[cpu], buffer + cpu * VALUE_STRIDE,
		       sizeof(values->on[cpu]));
	return err;
}

/* What the map holds after an update; a program only writes its own CPU's value. */
static inline struct values written(const struct traced *t, enum from from,
				    const struct values *old, const struct values *new)
{
	struct values values = *new;

	if (t->kind->percpu && from == FROM_PROG) {
		values = *old;
		values.on[t->cpu] = new->on[0];
	}
	return values;
}

/* The flags that the hook must get for an update with these flags. */
static inline __u64 flags_in_hook(const struct traced *t, enum from from, __u64 flags)
{
	if (t->kind->percpu && from == FROM_PROG)
		return flags | BPF_F_CPU | (__u64)t->cpu << 32;
	return flags;
}

#endif /* TRACED_H */
