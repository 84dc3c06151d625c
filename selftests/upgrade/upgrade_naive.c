// SPDX-License-Identifier: GPL-2.0-only
/*
 * Upgrades without the library, under the load of upgrade_load.c, lose changes, and
 * the judge notices. If it did not, a clean verdict with the library would prove
 * nothing.
 */
#include "upgrade_run.h"
#include "upgrade_naive.skel.h"

FIXTURE(naive)
{
	struct run run;
	struct upgrade_naive *new;
};

FIXTURE_VARIANT(naive)
{
	struct map_kind kind;
};

MAP_KIND_VARIANTS(naive);

FIXTURE_SETUP(naive)
{
	const struct map_kind *kind = &variant->kind;
	struct load *load;

	run_setup(_metadata, &self->run);
	load = self->run.load;
	run_open_old(_metadata, &self->run, kind);
	self->new = upgrade_naive__open();
	ASSERT_NE(NULL, self->new);
	ASSERT_EQ(0, load_shape(load, self->new->maps.new_map, kind->type, kind->flags, true));
	ASSERT_EQ(0, bpf_map__reuse_fd(self->new->maps.old_map, load->old_fd));
	ASSERT_EQ(0, bpf_map__reuse_fd(self->new->maps.requests,
				       bpf_map__fd(self->run.old->maps.requests)));
	self->new->rodata->percpu = kind->percpu;
	ASSERT_EQ(0, upgrade_naive__load(self->new));
	load->new_fd = bpf_map__fd(self->new->maps.new_map);
	ASSERT_EQ(0, load_start(load));
	load_wait(load, 2000);
}

FIXTURE_TEARDOWN(naive)
{
	upgrade_naive__destroy(self->new);
	run_close_old(&self->run);
	run_teardown(&self->run);
}

static void attach(struct __test_metadata *_metadata, FIXTURE_DATA(naive) *self,
		   struct bpf_program *prog, struct bpf_link **link)
{
	*link = bpf_program__attach(prog);
	ASSERT_NE(NULL, *link);
}

static void copy_by_iterator(struct __test_metadata *_metadata, FIXTURE_DATA(naive) *self)
{
	union bpf_iter_link_info info = { .map.map_fd = self->run.load->old_fd };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
		    .link_info_len = sizeof(info));
	char nothing[16];
	int fd;

	self->new->links.copy = bpf_program__attach_iter(self->new->progs.copy, &opts);
	ASSERT_NE(NULL, self->new->links.copy);
	fd = bpf_iter_create(bpf_link__fd(self->new->links.copy));
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, read(fd, nothing, sizeof(nothing)));
	close(fd);
}

/* Read the old map, then write the new one, as a program in user space would. */
static void copy_by_batch(struct __test_metadata *_metadata, FIXTURE_DATA(naive) *self)
{
	struct new_value new[LOAD_KEYS * LOAD_CPUS];
	__u64 values[LOAD_KEYS * LOAD_CPUS];
	__u32 keys[LOAD_KEYS], cursor, count = LOAD_KEYS;
	struct load *load = self->run.load;
	__u32 slots = load->percpu ? load->cpus : 1;
	void *old = values;
	int err;

	err = bpf_map_lookup_batch(load->old_fd, NULL, &cursor, keys, values, &count, NULL);
	EXPECT_TRUE(!err || err == -ENOENT);
	/* With millions of elements, it would take that long by itself. */
	load_wait(load, 10000);
	for (__u32 i = 0; i < count * slots; i++) {
		new[i].stamp = *(__u32 *)old;
		new[i].check = LOAD_CHECK(new[i].stamp);
		old += load->percpu ? 8 : sizeof(struct old_value);
	}
	for (__u32 i = 0; i < count; i++)
		keys[i] += LOAD_SHIFT;
	EXPECT_EQ(0, bpf_map_update_batch(load->new_fd, keys, new, &count, NULL));
}

/* Switch while nothing changes, then look at the result. */
static void switch_and_judge(struct __test_metadata *_metadata, FIXTURE_DATA(naive) *self)
{
	struct load *load = self->run.load;
	struct verdict v;

	/* Detaching takes long: programs would write all that is wrong anew. */
	load_hold(load, LOAD_HOLD_ALL);
	self->new->bss->active = 1;
	upgrade_old__detach(self->run.old);
	bpf_link__destroy(self->new->links.mirror_update);
	bpf_link__destroy(self->new->links.mirror_delete);
	self->new->links.mirror_update = NULL;
	self->new->links.mirror_delete = NULL;
	load_release(load, true, 0);
	load_wait(load, 200);
	load_end(load);
	load_judge(load, &v);
	TH_LOG("%llu keys: %llu lost, %llu stale, %llu resurrected: %s", v.keys, v.lost,
	       v.stale, v.resurrected, v.first);
	EXPECT_LT(0, v.lost + v.stale + v.resurrected)
		TH_LOG("nothing was lost: the load or the judge is too weak");
}

TEST_F_TIMEOUT(naive, copy, SECONDS)
{
	attach(_metadata, self, self->new->progs.new_event, &self->new->links.new_event);
	copy_by_iterator(_metadata, self);
	load_wait(self->run.load, 500);
	switch_and_judge(_metadata, self);
}

TEST_F_TIMEOUT(naive, mirror, SECONDS)
{
	struct upgrade_naive *new = self->new;

	attach(_metadata, self, new->progs.new_event, &new->links.new_event);
	attach(_metadata, self, new->progs.mirror_update, &new->links.mirror_update);
	attach(_metadata, self, new->progs.mirror_delete, &new->links.mirror_delete);
	copy_by_batch(_metadata, self);
	switch_and_judge(_metadata, self);
}

TEST_HARNESS_MAIN
