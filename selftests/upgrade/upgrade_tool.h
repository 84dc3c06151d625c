/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A program that runs, with its maps and its link pinned as bpftool does it: bpftool prog
 * loadall old.o pins pinmaps pins autoattach
 */
#ifndef UPGRADE_TOOL_H
#define UPGRADE_TOOL_H

#include "upgrade_command.h"
#include "upgrade.h"
#include "upgrade_tool.skel.h"
#include "upgrade_tool_old.skel.h"

#define PID 77777		/* of nobody */
#define BEFORE 5		/* calls before the upgrade */

static struct told told;

/* The old version to be started counts through a pointer, which nobody reports. */
static bool through_pointer;

FIXTURE(tool)
{
	struct bpf_link *link;	/* of the old version, while a test keeps it */
	__u32 settings;		/* id */
};

static inline void call(int n)
{
	while (n--)
		getpgid(PID);
}

/* Run the old version, with a map of this type. */
static inline void start_old(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self,
			     enum bpf_map_type type)
{
	struct upgrade_tool_old *old = upgrade_tool_old__open();
	__u32 zero = 0, one = 1;

	ASSERT_NE(NULL, old);
	old->rodata->through_pointer = through_pointer;
	ASSERT_EQ(0, bpf_map__set_type(old->maps.counts, type));
	ASSERT_EQ(0, upgrade_tool_old__load(old));
	self->link = bpf_program__attach(old->progs.count_calls);
	ASSERT_NE(NULL, self->link);
	ASSERT_EQ(0, bpf_link__pin(self->link, "pins/count_calls"));
	ASSERT_EQ(0, bpf_map__pin(old->maps.counts, "pins/counts"));
	ASSERT_EQ(0, bpf_map__pin(old->maps.settings, "pins/settings"));
	ASSERT_EQ(0, bpf_map_update_elem(bpf_map__fd(old->maps.settings), &zero, &one, 0));
	self->settings = id_of(bpf_map__fd(old->maps.settings));
	upgrade_tool_old__destroy(old);
}

FIXTURE_SETUP(tool)
{
	libbpf_set_print(print_warnings);
	ASSERT_EQ(0, make_folder());
	PUT_OBJECT("new.o", upgrade_tool);
	PUT_OBJECT("old.o", upgrade_tool_old);
	start_old(_metadata, self, BPF_MAP_TYPE_HASH);
	call(BEFORE);
}

static inline void let_go(FIXTURE_DATA(tool) *self)
{
	bpf_link__destroy(self->link);
	self->link = NULL;
}

/* Start over with a map of another type; nobody keeps the link. */
static inline void restart_old(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self,
			       enum bpf_map_type type)
{
	let_go(self);
	ASSERT_EQ(0, unlink("pins/count_calls") || unlink("pins/counts") ||
		  unlink("pins/settings"));
	start_old(_metadata, self, type);
	let_go(self);
}

FIXTURE_TEARDOWN(tool)
{
	let_go(self);
	remove_folder();
}

static inline __u32 pinned_id(const char *map)
{
	int fd = bpf_obj_get(map);
	__u32 id = fd < 0 ? 0 : id_of(fd);

	close(fd);
	return id;
}

/* The new version's value; the old one's is four bytes of it. */
struct count {
	__u64 calls, by_new;
};

static inline struct count count_of(__u32 pid, const char *map)
{
	struct count count = {};
	int fd = bpf_obj_get(map);

	if (fd < 0 || bpf_map_lookup_elem(fd, &pid, &count))
		count.calls = -1;
	close(fd);
	return count;
}

static inline struct count count_in(const char *map)
{
	return count_of(PID, map);
}

/* The new version counts, with the maps of the old one. */
static inline void expect_new(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self,
			      __u64 calls)
{
	struct count count = count_in("pins/counts");

	EXPECT_EQ(calls, count.calls);
	call(3);
	EXPECT_EQ(calls + 3, count_in("pins/counts").calls);
	EXPECT_EQ(count.by_new + 3, count_in("pins/counts").by_new);
	EXPECT_EQ(self->settings, pinned_id("pins/settings"));
	EXPECT_NE(0, access("pins/upgrade", F_OK));
	EXPECT_EQ(0, access("pins/count_calls", F_OK));
	run(&told, "status", "pins");
	EXPECT_STREQ("pins: no upgrade in progress\n", told.out);
}

#endif /* UPGRADE_TOOL_H */
