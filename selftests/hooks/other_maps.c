// SPDX-License-Identifier: GPL-2.0-only
/* Changes of other map types are not reported, nor are stores to a mapped array. */
#include <sys/mman.h>
#include <unistd.h>
#include "silent.h"

FIXTURE(other_type)
{
	struct watched w;
};

FIXTURE_VARIANT(other_type)
{
	__u32 type;
	__u32 flags;
	__u32 key_size;
};

FIXTURE_VARIANT_ADD(other_type, lpm_trie)
{ BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC, 8 };
FIXTURE_VARIANT_ADD(other_type, queue) { BPF_MAP_TYPE_QUEUE, 0, 0 };
FIXTURE_VARIANT_ADD(other_type, stack) { BPF_MAP_TYPE_STACK, 0, 0 };
FIXTURE_VARIANT_ADD(other_type, array_of_maps)
{ BPF_MAP_TYPE_ARRAY_OF_MAPS, 0, 4 };
FIXTURE_VARIANT_ADD(other_type, hash_of_maps)
{ BPF_MAP_TYPE_HASH_OF_MAPS, 0, 4 };

FIXTURE_SETUP(other_type)
{
	const struct map_kind array = { BPF_MAP_TYPE_ARRAY };

	watch_stored(_metadata, &self->w, &array);
}

FIXTURE_TEARDOWN(other_type)
{
	silent__destroy(self->w.skel);
}

/* For maps of maps, neither updates nor deletions of any kind are reported. */
TEST_F(other_type, changes)
{
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "inner", 4, 8, 1, NULL);
	bool of_maps = variant->type == BPF_MAP_TYPE_ARRAY_OF_MAPS ||
		       variant->type == BPF_MAP_TYPE_HASH_OF_MAPS;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = variant->flags);
	__u64 key = 0, value = inner, cursor, keys[4], values[4];
	void *k = variant->key_size ? &key : NULL;
	__u32 count = 1;
	int fd;

	if (of_maps)
		opts.inner_map_fd = inner;
	fd = bpf_map_create(variant->type, "other", variant->key_size,
			    of_maps ? 4 : 8, 4, &opts);
	ASSERT_LE(0, fd);
	self->w.skel->bss->watched_id = id_of(fd);
	EXPECT_EQ(0, bpf_map_update_elem(fd, k, &value, BPF_ANY));
	EXPECT_EQ(0, k ? bpf_map_delete_elem(fd, k) :
			 bpf_map_lookup_and_delete_elem(fd, k, &value));
	if (variant->type == BPF_MAP_TYPE_HASH_OF_MAPS) {
		EXPECT_EQ(0, bpf_map_update_batch(fd, k, &value, &count, NULL));
		EXPECT_EQ(0, bpf_map_delete_batch(fd, k, &count, NULL));
		EXPECT_EQ(0, bpf_map_update_elem(fd, k, &value, BPF_ANY));
		count = 4;
		EXPECT_EQ(-ENOENT, bpf_map_lookup_and_delete_batch(fd, NULL,
						&cursor, keys, values, &count,
						NULL));
		EXPECT_EQ(1, count);
	}
	expect_counts(_metadata, &self->w, 0, 0);
}

/* Not another type, but the one way to change a traced array behind the kernel's back. */
TEST(mmap_store)
{
	const struct map_kind kind = { BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE };
	struct watched w;
	__u64 *values;

	watch_stored(_metadata, &w, &kind);
	values = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED,
		      w.fd, 0);
	ASSERT_NE(MAP_FAILED, values);
	values[2] = 77;
	EXPECT_TRUE(holds_number(w.fd, 2, 77));
	expect_counts(_metadata, &w, 0, 0);
	EXPECT_EQ(0, put_number(w.fd, 2, 78));
	EXPECT_EQ(78, values[2]);
	expect_counts(_metadata, &w, 1, 0);
	munmap(values, getpagesize());
	silent__destroy(w.skel);
}

TEST_HARNESS_MAIN
