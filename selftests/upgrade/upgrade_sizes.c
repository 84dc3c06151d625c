// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an upgrade costs in maps of 10,000 to 10 million keys. Neither the time for which
 * writers in user space are held nor the memory in user space grows.
 */
#include <stdio.h>
#include <sys/resource.h>
#include "upgrade_small.h"

#define HELD_NS 20000000	/* what README.md promises */
#define HOLDS 3
#define GROWTH 5		/* far less than that of the map */
#define USER_KB 4096		/* for the ring of reports, and for a batch */
#define OWNER_BYTES 32		/* 16, rounded up to a power of two keys */
#define OWNERS 4096		/* bytes without a key */
#define HOUR 3600		/* under emulation, a pass takes minutes */
#define KEY_BYTES 1024		/* to have free for each key */

static int fill(int map, __u32 first, __u32 count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	static __u32 keys[10000];
	static __u64 values[10000];

	for (__u32 i = 0; i < count; i++) {
		keys[i] = first + i;
		values[i] = 10ULL * keys[i];
	}
	return bpf_map_update_batch(map, keys, values, &count, &opts);
}

static void open_old(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self,
		     __u32 size)
{
	close(self->old);
	self->old = bpf_map_create(BPF_MAP_TYPE_HASH, "old_map", 4, 8, size, NULL);
	ASSERT_LE(0, self->old);
	for (__u32 key = 1; key < size; key += 10000)
		ASSERT_EQ(0, fill(self->old, key, 10000));
	self->opts.old_map_fd = self->old;
	ASSERT_EQ(0, reopen_to_freeze(self, size));
}

/* The least of a few: on a busy machine, any hold may be interrupted. */
TEST_F_TIMEOUT(small, hold_does_not_grow, 2 * SECONDS)
{
	static const __u32 sizes[] = { 10000, 100000 };
	__u64 least[ARRAY_SIZE(sizes)] = { -1ULL, -1ULL };

	for (int i = 0; i < ARRAY_SIZE(sizes) * HOLDS; i++) {
		__u32 size = sizes[i / HOLDS];

		open_old(_metadata, self, size);
		EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
		EXPECT_EQ(size, self->report.keys);
		if (self->report.hold_ns < least[i / HOLDS])
			least[i / HOLDS] = self->report.hold_ns;
		printf("# %u keys: watch %llu ms, window %llu ms, writers held for %llu us\n",
		       size, self->report.watch_ns / 1000000,
		       self->report.window_ns / 1000000, self->report.hold_ns / 1000);
	}
	EXPECT_GT(HELD_NS, least[0]);
	EXPECT_GT(HELD_NS, least[1]);
	EXPECT_GT(GROWTH * least[0], least[1]);
}

/* A field of a file in /proc, in its unit; -1: there is none. */
static long long field(const char *path, const char *format)
{
	long long value = -1;
	char line[128];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value) == 1)
			break;
	if (file)
		fclose(file);
	return value;
}

static long long map_bytes(int map)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map);
	return field(path, "memlock: %lld");
}

static void measure_owners(FIXTURE_DATA(small) *self)
{
	__u32 zero = 0, id = 0;
	int map;

	bpf_map_lookup_elem(bpf_map__fd(self->skel->maps.upgrade_owned), &zero, &id);
	map = bpf_map_get_fd_by_id(id);
	self->found = map_bytes(map);
	close(map);
}

static void reset_peak(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");

	if (file && fputs("5", file) >= 0)
		fclose(file);
}

/* vm/sizes.py draws what this prints. */
static void measure(struct __test_metadata *_metadata, FIXTURE_DATA(small) *self,
		    __u32 size)
{
	long long user;

	if (field("/proc/meminfo", "MemAvailable: %lld") < size / 1024LL * KEY_BYTES)
		SKIP(return, "needs %u GiB of free memory: see --memory",
		     size / (1024 * 1024 * 1024 / KEY_BYTES) + 1);
	open_old(_metadata, self, size);
	self->on_detach = measure_owners;
	reset_peak();
	user = field("/proc/self/status", "VmRSS: %lld");
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	user = field("/proc/self/status", "VmHWM: %lld") - user;
	EXPECT_EQ(size, self->report.keys);
	EXPECT_GT(USER_KB, user);
	EXPECT_LT(0, self->found);
	EXPECT_GE(OWNERS + OWNER_BYTES * (__s64)size, self->found);
	printf("# size %u %llu %llu %llu %lld %lld %lld\n", size,
	       self->report.watch_ns / 1000, self->report.window_ns / 1000,
	       self->report.hold_ns / 1000, user, (long long)self->found / 1024,
	       (map_bytes(self->old) + map_bytes(self->new)) / 1024);
}

TEST_F_TIMEOUT(small, keys_10000, SECONDS)
{
	measure(_metadata, self, 10000);
}

TEST_F_TIMEOUT(small, keys_100000, SECONDS)
{
	measure(_metadata, self, 100000);
}

TEST_F_TIMEOUT(small, keys_1000000, HOUR)
{
	measure(_metadata, self, 1000000);
}

TEST_F_TIMEOUT(small, keys_10000000, HOUR)
{
	measure(_metadata, self, 10000000);
}

TEST_HARNESS_MAIN
