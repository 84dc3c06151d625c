// SPDX-License-Identifier: GPL-2.0-only
/*
 * The library handles keys and values of the largest size, and as many CPUs as it
 * promises: there are as many slots as the guest has CPUs (`--cpus`). The verifier has
 * to follow the most that are allowed, at least.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade_reason.h"
#include "upgrade_big.h"
#include "upgrade_big.skel.h"

#define KEYS 16
#define POSSIBLE "/sys/devices/system/cpu/possible"

FIXTURE(big)
{
	struct upgrade_big *skel;
	struct upgrade *upgrade;
	struct big_value *value;
	int cpus, old, new;
	int slots;		/* fewer than `cpus` if some are only pretended */
	struct big_op op;
};

FIXTURE_VARIANT(big)
{
	struct map_kind kind;
	const char *possible;
};

FIXTURE_VARIANT_ADD(big, hash) { .kind = { BPF_MAP_TYPE_HASH } };
FIXTURE_VARIANT_ADD(big, lru_hash) { .kind = { BPF_MAP_TYPE_LRU_HASH } };
FIXTURE_VARIANT_ADD(big, percpu_hash)
{ .kind = { BPF_MAP_TYPE_PERCPU_HASH, .percpu = true } };
FIXTURE_VARIANT_ADD(big, lru_percpu_hash)
{ .kind = { BPF_MAP_TYPE_LRU_PERCPU_HASH, .percpu = true } };
FIXTURE_VARIANT_ADD(big, percpu_hash_on_256_cpus)
{ .kind = { BPF_MAP_TYPE_PERCPU_HASH, .percpu = true }, .possible = "0-255\n" };

/* Have libbpf believe that there are other CPUs. */
static int pretend(const char *cpus)
{
	int fd = open("/tmp/upgrade_possible", O_CREAT | O_TRUNC | O_WRONLY, 0600);
	int err;

	err = fd < 0 || write(fd, cpus, strlen(cpus)) < 0 || unshare(CLONE_NEWNS) ||
	      mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	      mount("/tmp/upgrade_possible", POSSIBLE, NULL, MS_BIND, NULL);
	close(fd);
	return err;
}

static struct big_key key_of(__u64 i, bool new)
{
	struct big_key key = {};

	key.word[new ? BIG_KEY - 1 : 0] = i;
	key.word[BIG_KEY / 2] = 1;
	key.word[BIG_KEY / 2 - 1] = 1;
	return key;
}

/* Differs in each key, CPU and word. */
static __u64 word_of(__u64 key, int cpu, int word, bool new)
{
	__u64 value = key << 32 | (cpu + 1) << 16 | word;

	return new ? ~value : value;
}

static int attach(void *ctx)
{
	FIXTURE_DATA(big) *self = ctx;

	return upgrade_big__attach(self->skel);
}

/* In the window, the new version has an event, and changes key 1. */
static int detach(void *ctx)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	FIXTURE_DATA(big) *self = ctx;

	self->op = (struct big_op){ .key = key_of(1, true), .result = 1 };
	self->op.value.word[BIG_VALUE - 1] = 71;
	opts.ctx_in = &self->op;
	opts.ctx_size_in = sizeof(self->op);
	getpgid(0);
	return bpf_prog_test_run_opts(bpf_program__fd(self->skel->progs.new_op), &opts);
}

FIXTURE_SETUP(big)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts), .attach_new = attach, .detach_old = detach, .ctx = self,
	};
	__u32 type = variant->kind.type;

	libbpf_set_print(print_warnings);
	self->slots = variant->kind.percpu ? sysconf(_SC_NPROCESSORS_CONF) : 1;
	if (variant->possible)
		ASSERT_EQ(0, pretend(variant->possible));
	self->cpus = variant->kind.percpu ? libbpf_num_possible_cpus() : 1;
	ASSERT_LE(self->slots, self->cpus);
	self->value = calloc(self->cpus, sizeof(*self->value));
	self->old = bpf_map_create(type, "old_map", sizeof(struct big_key),
				   sizeof(*self->value), 2 * KEYS, NULL);
	ASSERT_LE(0, self->old);
	for (__u64 i = 0; i < KEYS; i++) {
		struct big_key key = key_of(i, false);

		for (int word = 0; word < BIG_VALUE; word++)
			for (int cpu = 0; cpu < self->cpus; cpu++)
				self->value[cpu].word[word] = word_of(i, cpu, word, false);
		ASSERT_EQ(0, bpf_map_update_elem(self->old, &key, self->value, BPF_ANY));
	}
	opts.old_map_fd = self->old;
	self->skel = upgrade_big__open();
	bpf_map__set_type(self->skel->maps.old_map, type);
	bpf_map__set_type(self->skel->maps.new_map, type);
	/* An LRU map is full when half of it is in use. */
	bpf_map__set_max_entries(self->skel->maps.new_map,
				 2 * (KEYS + libbpf_num_possible_cpus()));
	ASSERT_EQ(0, open_upgrade(self->skel->obj, &opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_big__load(self->skel));
	self->new = bpf_map__fd(self->skel->maps.new_map);
}

FIXTURE_TEARDOWN(big)
{
	upgrade_close(self->upgrade);
	upgrade_big__destroy(self->skel);
	close(self->old);
	free(self->value);
}

/* The new version has written the slot of one CPU, of key 1. */
static int wrong_words(FIXTURE_DATA(big) *self, __u64 key, int *by_new)
{
	int wrong = 0;

	for (int cpu = 0; cpu < self->slots; cpu++) {
		const __u64 *word = self->value[cpu].word;

		if (key == 1 && !memcmp(word, &self->op.value, sizeof(self->op.value))) {
			++*by_new;
			continue;
		}
		for (int i = 0; i < BIG_VALUE; i++)
			wrong += word[i] != word_of(key, cpu, i, true);
	}
	return wrong;
}

TEST_F_TIMEOUT(big, carried_over, SECONDS)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	int by_new = 0;

	EXPECT_EQ(0, upgrade_run(self->upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(0, self->op.result);
	for (__u64 i = 0; i < KEYS; i++) {
		struct big_key key = key_of(i, true);

		EXPECT_EQ(0, bpf_map_lookup_elem(self->new, &key, self->value));
		EXPECT_EQ(0, wrong_words(self, i, &by_new)) TH_LOG("key %llu", i);
	}
	EXPECT_EQ(1, by_new);
	printf("# %d slots\n", self->slots);
}

/* What upgrade_open() says to a per-CPU map with such keys and values. */
static int try_sizes(__u32 key_size, __u32 value_size)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts), .attach_new = attach, .detach_old = detach,
	};
	struct upgrade_big *skel = upgrade_big__open();
	struct upgrade *upgrade = NULL;
	struct upgrade_pair_config *config;
	size_t size;
	int err;

	config = bpf_map__initial_value(skel->maps.rodata_upgrade, &size);
	config->new_key_size = key_size;
	config->new_value_size = value_size;
	bpf_map__set_type(skel->maps.new_map, BPF_MAP_TYPE_PERCPU_HASH);
	bpf_map__set_key_size(skel->maps.new_map, key_size);
	bpf_map__set_value_size(skel->maps.new_map, value_size);
	opts.old_map_fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_HASH, "old_map",
					 sizeof(struct big_key), sizeof(struct big_value), 1,
					 NULL);
	err = opts.old_map_fd < 0 ? 1 : open_upgrade(skel->obj, &opts, &upgrade);
	upgrade_close(upgrade);
	upgrade_big__destroy(skel);
	close(opts.old_map_fd);
	return err;
}

TEST(too_big)
{
	EXPECT_EQ(0, try_sizes(256, 8192));
	EXPECT_EQ(-E2BIG, try_sizes(264, 8192));
	EXPECT_EQ(-E2BIG, try_sizes(256, 8200));
}

TEST(too_many_cpus)
{
	ASSERT_EQ(0, pretend("0-256\n"));
	EXPECT_EQ(-E2BIG, try_sizes(256, 8192));
}

TEST_HARNESS_MAIN
