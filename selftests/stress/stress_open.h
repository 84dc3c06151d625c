/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps under load, and the threads and programs that change them. */
#ifndef STRESS_OPEN_H
#define STRESS_OPEN_H

#include <stdlib.h>
#include "bpf_harness.h"
#include "stress_actors.h"

static inline int shape(struct bpf_map *map, const struct map_kind *kind)
{
	/* A hash is too small for all keys, so that operations fail. */
	return bpf_map__set_type(map, kind->type) ?:
	       bpf_map__set_map_flags(map, kind->flags) ?:
	       bpf_map__set_max_entries(map, kind->array ? STRESS_KEYS : STRESS_KEYS - 2);
}

/* Older kernels do not know these flags. */
static inline bool takes_cpu_flags(int fd)
{
	__u64 value = 0;
	__u32 key = 0;

	return bpf_map_update_elem(fd, &key, &value, BPF_F_ALL_CPUS) != -EINVAL;
}

static inline struct actors *actors_open(struct __test_metadata *_metadata,
					 const struct map_kind *kind, bool only_new)
{
	bool lockable = !kind->percpu && !kind->lru;
	struct actors *s = calloc(1, sizeof(*s));
	struct stress *skel = stress__open();

	libbpf_set_print(print_warnings);
	ASSERT_NE(NULL, s);
	ASSERT_NE(NULL, skel);
	s->type = kind->type;
	s->flags = kind->flags;
	s->array = kind->array;
	s->nmis = nmi_can_update(kind->type, kind->flags,
				  bpf_map__max_entries(skel->maps.target));
	s->only_new = only_new;
	s->cpus = libbpf_num_possible_cpus();
	ASSERT_GE(STRESS_CPUS, s->cpus);
	s->skel = skel;
	ASSERT_EQ(0, shape(skel->maps.target, kind));
	ASSERT_EQ(0, shape(skel->maps.locked, kind));
	bpf_map__set_autocreate(skel->maps.locked, lockable);
	skel->rodata->array = kind->array;
	skel->rodata->only_new = only_new;
	ASSERT_EQ(0, stress__load(skel));
	s->target = bpf_map__fd(skel->maps.target);
	s->locked = lockable ? bpf_map__fd(skel->maps.locked) : -1;
	s->cpu_flags = kind->percpu && !only_new && takes_cpu_flags(s->target);
	return s;
}

static inline void actors_close(struct actors *s)
{
	if (s)
		stress__destroy(s->skel);
	free(s);
}

#endif /* STRESS_OPEN_H */
