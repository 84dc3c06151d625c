// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load of stress.c on a map whose changes, evictions included, are brought to a
 * second map by the after-hooks alone: at the end, both hold the same.
 */
#include <string.h>
#include "mirror.skel.h"
#include "stress_expect.h"
#include "stress_open.h"
#include "stress_seconds.h"

FIXTURE(mirror)
{
	struct actors *actors;
	struct mirror *skel;
};

FIXTURE_VARIANT(mirror)
{
	struct map_kind kind;
};

MAP_KIND_VARIANTS(mirror);

FIXTURE_SETUP(mirror)
{
	const struct map_kind *kind = &variant->kind;
	struct mirror *skel = self->skel = mirror__open();

	self->actors = actors_open(_metadata, kind, false);
	ASSERT_NE(NULL, skel);
	ASSERT_EQ(0, bpf_map__reuse_fd(skel->maps.source, self->actors->target));
	ASSERT_EQ(0, bpf_map__set_type(skel->maps.mirror, !kind->lru ? kind->type :
				       kind->percpu ? BPF_MAP_TYPE_PERCPU_HASH :
				       BPF_MAP_TYPE_HASH));
	skel->rodata->percpu = kind->percpu;
	skel->rodata->nr_cpus = self->actors->cpus;
	ASSERT_EQ(0, mirror__load(skel));
	skel->bss->source_id = id_of(self->actors->target);
	ASSERT_NE(0, skel->bss->source_id);
	ASSERT_EQ(0, mirror__attach(skel));
}

FIXTURE_TEARDOWN(mirror)
{
	mirror__destroy(self->skel);
	actors_close(self->actors);
}

struct content {
	bool found;
	__u64 values[STRESS_CPUS];
};

static struct content look(int fd, __u32 key)
{
	struct content content = {};

	content.found = !bpf_map_lookup_elem(fd, &key, content.values);
	return content;
}

static void finish(struct __test_metadata *_metadata, struct mirror *skel)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	ASSERT_EQ(0, bpf_prog_test_run_opts(bpf_program__fd(skel->progs.finish), &opts));
	ASSERT_EQ(0, opts.retval);
}

TEST_F_TIMEOUT(mirror, equal, SECONDS + load_seconds())
{
	struct mirror__bss *seen = self->skel->bss;
	struct actors *s = self->actors;
	__u64 skipped = 0, differences = 0;

	under_load(_metadata, s);
	finish(_metadata, self->skel);

	/* Only these must not be skipped: what they note is done by someone. */
	skipped = misses(self->skel->progs.note_updated) +
		  misses(self->skel->progs.note_deleted) +
		  misses(self->skel->progs.note_evicted);
	for (__u32 key = 0; key < STRESS_KEYS; key++) {
		struct content source = look(s->target, key);
		struct content mirror = look(bpf_map__fd(self->skel->maps.mirror), key);

		differences += !!memcmp(&source, &mirror, sizeof(source));
	}
	printf("# %llu copies, %llu failed, %llu left for the end\n", seen->copies,
	       seen->failed, seen->left);
	printf("# mirror: updated %llu deleted %llu evicted %llu skipped %llu "
	       "differences %llu\n", seen->changes[MIRROR_UPDATED],
	       seen->changes[MIRROR_DELETED], seen->changes[MIRROR_EVICTED], skipped,
	       differences);
	/* Not the work of finish(). */
	EXPECT_GT(STRESS_KEYS / 2, seen->left);
	EXPECT_GE(skipped, differences);
	EXPECT_LT(0, seen->changes[MIRROR_UPDATED]);
	EXPECT_EQ(variant->kind.array, !seen->changes[MIRROR_DELETED]);
	EXPECT_EQ(!variant->kind.lru, !seen->changes[MIRROR_EVICTED]);
}

TEST_HARNESS_MAIN
