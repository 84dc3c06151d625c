// SPDX-License-Identifier: GPL-2.0-only
/* When the library refuses to start, when it gives up, and when it must not. */
#include <dirent.h>
#include <sys/resource.h>
#include "upgrade_small.h"
#include "upgrade_old.skel.h"

TEST_F(small, writers_that_cannot_be_held)
{
	self->hold_result = -ETIMEDOUT;
	EXPECT_EQ(-ETIMEDOUT, run(self));
	EXPECT_STREQ("cannot hold the writers", self->report.error);
	EXPECT_EQ(UPGRADE_WATCHING, self->report.phase);
	EXPECT_EQ(1, self->released);
	EXPECT_EQ(UPGRADE_WATCHING, self->phase);
}

/* How many descriptors this process has, and how many maps are in its memory. */
static int resources(void)
{
	struct dirent *entry;
	char line[512];
	DIR *fds = opendir("/proc/self/fd");
	FILE *maps = fopen("/proc/self/maps", "r");
	int count = 0;

	while (fds && (entry = readdir(fds)))
		count++;
	while (maps && fgets(line, sizeof(line), maps))
		count += !!strstr(line, "bpf-map");
	closedir(fds);
	fclose(maps);
	return count;
}

/* After a failure before the switch, the same upgrade can be run again. */
TEST_F_TIMEOUT(small, again_after_a_failure, SECONDS)
{
	int before = resources();

	self->hold_result = -ETIMEDOUT;
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-ETIMEDOUT, run(self));
		EXPECT_EQ(before, resources());
	}
	self->hold_result = 0;
	set_old(self, 1, 11);
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(before, resources());
	EXPECT_EQ(11, get_new(self, 1, 0));
}

static void look_at_others(FIXTURE_DATA(small) *self)
{
	run_op(self, WIDE_READ, 1, 8, 0);
	self->found = self->op.found;
	run_op(self, WIDE_UPDATE, 1, 7, 17);
}

/* Element {1, 7} has nothing to do with the old map's element 1. */
TEST_F(small, keys_that_no_old_key_becomes)
{
	self->on_detach = look_at_others;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);
	EXPECT_EQ(0, self->op.result);
	EXPECT_EQ(0, get_new(self, 1, 8));
	EXPECT_EQ(17, get_new(self, 1, 7));
	EXPECT_EQ(10, get_new(self, 1, 0));
}

/* There is no room for the key, but the attempt is reported. */
static void add(FIXTURE_DATA(small) *self)
{
	self->found = set_old(self, 9, 90);
}

/*
 * Just before the key is copied, it replaces another one in the old map. The new
 * map still holds that one, until a later pass sees the deletion.
 */
static void replace(FIXTURE_DATA(small) *self)
{
	delete_old(self, 1);
	set_old(self, 9, 90);
}

/* The new version fails to delete a key, before the old version creates it. */
static void delete_and_create(FIXTURE_DATA(small) *self)
{
	self->result[0] = run_op(self, WIDE_DELETE, 8, 0, 0);
	delete_old(self, 4);
	set_old(self, 8, 80);
}

TEST_F_TIMEOUT(small, deletion_that_fails, SECONDS)
{
	self->on_detach = delete_and_create;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-ENOENT, self->result[0]);
	EXPECT_EQ(80, get_new(self, 8, 0));
}

TEST_F_TIMEOUT(small, replacement_in_full_maps, SECONDS)
{
	ASSERT_EQ(0, reopen_new(self, ENTRIES));
	self->on_attach = add;
	self->on_reconcile = replace;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-E2BIG, self->found);
	EXPECT_EQ(0, get_new(self, 1, 0));
	EXPECT_EQ(90, get_new(self, 9, 0));
}

/* What upgrade_open() returns for such an old map. */
static int try_old(FIXTURE_DATA(small) *self, __u32 type, __u32 value_size, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int err;

	self->opts.old_map_fd = bpf_map_create(type, "old_map", 4, value_size, ENTRIES, &opts);
	err = self->opts.old_map_fd < 0 ? 1 : open_new(self, ENTRIES);
	close_new(self);
	close(self->opts.old_map_fd);
	return err;
}

TEST_F(small, refuses)
{
	struct upgrade_old *other = upgrade_old__open();
	char error[128] = "", reason[128];

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	close_new(self);
	EXPECT_EQ(0, try_old(self, BPF_MAP_TYPE_HASH, 8, 0));
	EXPECT_EQ(-EINVAL, try_old(self, BPF_MAP_TYPE_HASH, 4, 0));
	EXPECT_EQ(-EINVAL, try_old(self, BPF_MAP_TYPE_PERCPU_HASH, 8, 0));
	EXPECT_EQ(-EINVAL, try_old(self, BPF_MAP_TYPE_RHASH, 8, BPF_F_NO_PREALLOC));
	/* Its changes are reported, but it cannot be listed without gaps. */
	snprintf(reason, sizeof(reason), "maps of type %u are not supported", BPF_MAP_TYPE_RHASH);
	EXPECT_STREQ(reason, error);

	/* All elements of an array exist, so a smaller map cannot take them. */
	self->opts.old_map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "old_map", 4, 8, 2, NULL);
	EXPECT_EQ(-E2BIG, open_new(self, 1));
	close_new(self);
	close(self->opts.old_map_fd);

	self->opts.old_map_fd = self->old;
	self->skel = upgrade_small__open();
	bpf_map__set_max_entries(self->skel->maps.new_map, ENTRIES);
	bpf_program__set_autoload(self->skel->progs.sleeper, true);
	EXPECT_EQ(-EINVAL, upgrade_open(self->skel->obj, &self->opts, &self->upgrade));

	EXPECT_EQ(-ENOENT, upgrade_open(other->obj, &self->opts, &self->upgrade));
	upgrade_old__destroy(other);
}

static int replace_nothing(void *ctx)
{
	return 0;
}

/* Whatever fails, there is a reason. */
#define EXPECT_FAILS(reason) do {							\
	error[0] = '\0';								\
	EXPECT_GT(0, upgrade_open(self->skel->obj, &self->opts, &self->upgrade));	\
	EXPECT_EQ(0, strncmp(error, reason, strlen(reason))) TH_LOG("'%s'", error);	\
} while (0)

TEST_F(small, fails_with_a_reason)
{
	int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "upgrade_marks", 0, 0, 4096, NULL);
	struct rlimit limit, none;
	char error[128];

	self->opts.error = error;
	self->opts.error_size = sizeof(error);
	EXPECT_FAILS("the object is loaded already");
	close_new(self);

	/* Without a descriptor to spare, libbpf cannot copy that of the old map. */
	self->opts.replace_old = replace_nothing;
	self->opts.attach_new = NULL;
	self->opts.detach_old = NULL;
	self->skel = upgrade_small__open();
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = (struct rlimit){ 0, limit.rlim_max };
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_FAILS("cannot use the old map as old_map: ");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));

	/* The size of a map that exists cannot be changed. */
	ASSERT_EQ(0, bpf_map__reuse_fd(self->skel->maps.upgrade_marks, ring));
	EXPECT_FAILS("cannot set the size of upgrade_marks: Device or resource busy");
	close(ring);
}

TEST_HARNESS_MAIN
