// SPDX-License-Identifier: GPL-2.0-only
/* The example in Documentation/bpf/map_tracing.rst; the Makefile cuts it out. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "kselftest_harness.h"
#include "example.skel.h"

TEST(documentation_example)
{
	struct example *skel = example__open_and_load();
	__u64 value = 42, seen = 0;
	int traced, written;
	__u32 key = 2;

	ASSERT_NE(NULL, skel);
	ASSERT_EQ(0, example__attach(skel));
	traced = bpf_map__fd(skel->maps.traced);
	written = bpf_map__fd(skel->maps.written);

	EXPECT_EQ(0, bpf_map_update_elem(traced, &key, &value, BPF_ANY));
	EXPECT_EQ(0, bpf_map_lookup_elem(written, &key, &seen));
	EXPECT_EQ(value, seen);

	EXPECT_EQ(-EPERM, bpf_map_delete_elem(traced, &key));
	EXPECT_EQ(0, bpf_map_lookup_elem(traced, &key, &seen));
	EXPECT_EQ(0, bpf_map_delete_elem(written, &key));
	example__destroy(skel);
}

TEST_HARNESS_MAIN
