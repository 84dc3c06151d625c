// SPDX-License-Identifier: GPL-2.0-only
/*
 * A writer that does not know of the upgrade is kept from writing the old map, and one
 * that does needs nobody to hold it. The memory of the upgrade is freed in the end.
 */
#include <errno.h>
#include <pthread.h>
#include "upgrade_small.h"

/* One that forgot about the upgrade. */
static void write_old(FIXTURE_DATA(small) *self)
{
	self->result[0] = set_old(self, 1, 11);
	self->result[1] = delete_old(self, 2);
}

TEST_F_TIMEOUT(small, old_map_is_frozen, SECONDS)
{
	ASSERT_EQ(0, reopen_to_freeze(self, 2 * ENTRIES));
	self->on_settled = write_old;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(-EPERM, self->result[0]);
	EXPECT_EQ(-EPERM, self->result[1]);
	EXPECT_EQ(0, self->report.stragglers);
	EXPECT_EQ(10, get_new(self, 1, 0));
}

/* By an upgrade that was killed at just that moment, for example. */
TEST_F_TIMEOUT(small, old_map_was_frozen, SECONDS)
{
	ASSERT_EQ(0, reopen_to_freeze(self, 2 * ENTRIES));
	ASSERT_EQ(0, bpf_map_freeze(self->old));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(10, get_new(self, 1, 0));
}

/*
 * A writer without a gate: it learns from the error that it has to claim the key and
 * to use the new map, and loses nothing.
 */
static int last_written, stop;

static int write_one(FIXTURE_DATA(small) *self, __u32 value)
{
	int err = set_old(self, 1, value);

	if (err == -EPERM)
		err = claim(self, 1) ?: set_new(self, 1, value);
	return err;
}

static void *write_all(void *arg)
{
	for (__u32 value = 1; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); value++) {
		while (write_one(arg, value) == 1)	/* frozen, but not switched yet */
			;
		last_written = value;
	}
	return NULL;
}

TEST_F_TIMEOUT(small, writer_without_a_gate, SECONDS)
{
	pthread_t thread;

	self->opts.hold_writers = NULL;
	self->opts.release_writers = NULL;
	ASSERT_EQ(0, reopen_to_freeze(self, 2 * ENTRIES));
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_all, self));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	usleep(20000);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	EXPECT_LT(0, last_written);
	EXPECT_EQ(last_written, get_new(self, 1, 0));
}

/*
 * Its program is there, and another upgrade, which was killed, has frozen the old map. What
 * the writer put into the new map would be overwritten.
 */
TEST_F_TIMEOUT(small, claim_before_it_begins, SECONDS)
{
	ASSERT_EQ(0, reopen_to_freeze(self, 2 * ENTRIES));
	ASSERT_EQ(0, bpf_map_freeze(self->old));
	EXPECT_EQ(1, claim(self, 1));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, claim(self, 1));
}

/* The id of the map of owners; 0: there is none. */
static __u32 owners_of(FIXTURE_DATA(small) *self)
{
	__u32 zero = 0, id = 0;

	bpf_map_lookup_elem(bpf_map__fd(self->skel->maps.upgrade_owned), &zero, &id);
	return id;
}

/* Does it take memory when an element is added? */
static void look_for_owners(FIXTURE_DATA(small) *self)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_map_get_fd_by_id(owners_of(self));

	self->found = bpf_map_get_info_by_fd(fd, &info, &len) ? -1 : info.map_flags;
	close(fd);
}

TEST_F_TIMEOUT(small, owners_are_freed, SECONDS)
{
	self->on_detach = look_for_owners;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(BPF_F_NO_PREALLOC, self->found);
	EXPECT_EQ(0, owners_of(self));
}

TEST_F_TIMEOUT(small, owners_added_in_nmis, SECONDS)
{
	self->on_detach = look_for_owners;
	self->opts.in_nmis = true;
	ASSERT_EQ(0, reopen_new(self, 2 * ENTRIES));
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found);

	self->opts.in_nmis = false;
	close_new(self);
	self->skel = upgrade_small__open();
	bpf_map__set_max_entries(self->skel->maps.new_map, 2 * ENTRIES);
	bpf_program__set_autoload(self->skel->progs.sampler, true);
	ASSERT_EQ(0, open_upgrade(self->skel->obj, &self->opts, &self->upgrade));
	ASSERT_EQ(0, upgrade_small__load(self->skel));
	self->found = -1;
	EXPECT_EQ(0, run(self)) TH_LOG("%s", self->report.error);
	EXPECT_EQ(0, self->found) TH_LOG("programs for perf events run in NMIs");
}

TEST_HARNESS_MAIN
