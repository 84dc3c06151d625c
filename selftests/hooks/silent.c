// SPDX-License-Identifier: GPL-2.0-only
/* Changes that the hooks cannot see, and so do not report. */
#include <unistd.h>
#include "silent.h"

FIXTURE(silent)
{
	struct watched w;
};

FIXTURE_VARIANT(silent)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(silent);

FIXTURE_SETUP(silent)
{
	watch_stored(_metadata, &self->w, &variant->kind);
	ASSERT_EQ(0, put_number(self->w.fd, 2, 1));
	expect_counts(_metadata, &self->w, 1, 0);
	self->w.skel->bss->number = 77;
}

FIXTURE_TEARDOWN(silent)
{
	silent__destroy(self->w.skel);
}

static void expect_stored(struct __test_metadata *_metadata,
			  struct watched *self)
{
	EXPECT_TRUE(holds_number(self->fd, 2, 77)) TH_LOG("nothing was stored");
	expect_counts(_metadata, self, 1, 0);
}

TEST_F(silent, store_by_lookup)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	ASSERT_EQ(0, bpf_prog_test_run_opts(bpf_program__fd(
			self->w.skel->progs.store_by_lookup), &opts));
	expect_stored(_metadata, &self->w);
}

TEST_F(silent, store_by_callback)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	ASSERT_EQ(0, bpf_prog_test_run_opts(bpf_program__fd(
			self->w.skel->progs.store_by_callback), &opts));
	expect_stored(_metadata, &self->w);
}

TEST_F(silent, store_by_iterator)
{
	union bpf_iter_link_info info = { .map.map_fd = self->w.fd };
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
		    .link_info_len = sizeof(info));
	struct bpf_link *link;
	char buffer[64];
	int fd;

	link = bpf_program__attach_iter(self->w.skel->progs.store_by_iterator,
					&opts);
	ASSERT_NE(NULL, link);
	fd = bpf_iter_create(bpf_link__fd(link));
	ASSERT_LE(0, fd);
	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
	close(fd);
	bpf_link__destroy(link);
	/* For a per-CPU map, the iterator passes a copy. */
	EXPECT_EQ(!variant->kind.percpu, holds_number(self->w.fd, 2, 77));
	expect_counts(_metadata, &self->w, 1, 0);
}

/*
 * Many more keys than there is room for: an LRU map evicts, the others refuse. All
 * updates are reported, except of indices beyond an array's end; evictions are not.
 */
TEST_F(silent, eviction)
{
	__u32 there = 0;

	for (__u32 key = 0; key < 200; key++) {
		EXPECT_EQ(variant->kind.lru || key < MAX_ENTRIES ? 0 : -E2BIG,
			  put_number(self->w.fd, key, 5));
	}
	for (__u32 key = 0; key < 200; key++)
		there += holds_number(self->w.fd, key, 5);
	EXPECT_GE(MAX_ENTRIES, there);
	EXPECT_LT(0, there);
	expect_counts(_metadata, &self->w,
		      1 + (variant->kind.array ? MAX_ENTRIES : 200), 0);
}

/* A map is freed with its elements: no deletion is reported. */
TEST_F(silent, free)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = variant->kind.flags);
	int fd = bpf_map_create(variant->kind.type, "short_lived", 4, 8,
				MAX_ENTRIES, &opts);
	__u32 id = id_of(fd);

	ASSERT_LE(0, fd);
	self->w.skel->bss->watched_id = id;
	for (__u32 key = 0; key < 4; key++) {
		ASSERT_EQ(0, put_number(fd, key, 1));
	}
	expect_counts(_metadata, &self->w, 5, 0);
	close(fd);
	for (int tries = 0; tries < 200; tries++) {
		fd = bpf_map_get_fd_by_id(id);
		if (fd < 0)
			break;
		close(fd);
		usleep(10000);
	}
	EXPECT_EQ(-ENOENT, fd) TH_LOG("the map is still there");
	usleep(200000);		/* a worker frees it after a grace period */
	expect_counts(_metadata, &self->w, 5, 0);
}

TEST_HARNESS_MAIN
