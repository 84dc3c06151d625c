// SPDX-License-Identifier: GPL-2.0-only
/* bpf-upgrade plan, and what both it and run refuse. */
#include "upgrade_tool.h"
#include "upgrade_gen_old.skel.h"
#include "upgrade_pairs.h"
#include "upgrade_wide.h"
#include "upgrade_pairs.skel.h"
#include "upgrade_tool_many.skel.h"
#include "upgrade_tool_same.skel.h"

TEST_F(tool, plans)
{
	__u32 map = pinned_id("pins/counts");

	run(&told, "plan", "pins", "new.o");
	EXPECT_EQ(0, told.status);
	EXPECT_STREQ("", told.err);
	EXPECT_STREQ("old map    pins/counts, HASH of 64, keys of 4 and values of 4 bytes\n"
		     "new map    new.o/counts, HASH of 64, keys of 4 and values of 16 bytes\n"
		     "key        no change\n"
		     "value      ~ calls: __u32 -> __u64\n"
		     "           + __u64 by_new\n"
		     "share      settings\n"
		     "attach     count_calls, fentry/__x64_sys_getpgid\n"
		     "detach     pins/count_calls\n", told.out);
	EXPECT_EQ(map, pinned_id("pins/counts"));
	EXPECT_NE(0, access("pins/upgrade", F_OK));
	run(&told, "status", "pins");
	EXPECT_STREQ("pins: no upgrade in progress\n", told.out);
}

/* In one line, whether it is asked to plan or to run. */
#define EXPECT_REFUSED(expected, ...) do {				\
	run(&told, "plan", __VA_ARGS__);				\
	EXPECT_EQ(1, told.status);					\
	EXPECT_STREQ("", told.out);					\
	EXPECT_STREQ("bpf-upgrade: " expected "\n", told.err);		\
	run(&told, "run", __VA_ARGS__);					\
	EXPECT_EQ(1, told.status);					\
	EXPECT_STREQ("bpf-upgrade: " expected "\n", told.err);		\
} while (0)

TEST_F(tool, refuses)
{
	EXPECT_REFUSED("cannot open nowhere: No such file or directory", "nowhere", "new.o");
	EXPECT_REFUSED(". is not a folder of a bpf file system, with the maps and links of the old version",
		       ".", "new.o");
	EXPECT_REFUSED("no such option: --decides", "--decides", "pins", "new.o");
	EXPECT_REFUSED("cannot open the object no.o: No such file or directory", "pins", "no.o");
	EXPECT_REFUSED("old.o does not include upgrade.bpf.h: see bpf-upgrade gen", "pins", "old.o");
	PUT_OBJECT("two.o", upgrade_pairs);
	EXPECT_REFUSED("two.o gives its maps names of their own (UPGRADE_NAME): use the library",
		       "pins", "two.o");
	PUT_OBJECT("new.o", upgrade_tool_many);
	EXPECT_REFUSED("new.o has 121 programs to attach, more than 118", "pins", "new.o");
	PUT_OBJECT("new.o", upgrade_tool);
	ASSERT_EQ(0, unlink("pins/count_calls"));
	EXPECT_REFUSED("there are no links in pins: pin those of the old version there",
		       "pins", "new.o");
	ASSERT_EQ(0, unlink("pins/counts"));
	EXPECT_REFUSED("there is no map counts in pins: pin the old map there", "pins", "new.o");
}

static __u32 link_id(const struct bpf_link *link)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len);
	return info.id;
}

/* Pins of something else than the object is made for. */
TEST_F(tool, refuses_others)
{
	struct upgrade_gen_old *other = upgrade_gen_old__open_and_load();
	int map = bpf_map__fd(other->maps.flows_by_address);
	struct bpf_link *idle = bpf_program__attach(other->progs.idle);
	struct bpf_link *late = bpf_program__attach(other->progs.late);
	char expected[256];
	int counts = bpf_obj_get("pins/counts");

	/* The map of a program that is attached by a link in another folder. */
	ASSERT_EQ(0, mkdir("pins/two", 0700));
	ASSERT_EQ(0, bpf_obj_pin(bpf_link__fd(idle), "pins/two/idle"));
	ASSERT_EQ(0, bpf_obj_pin(counts, "pins/two/counts"));
	run(&told, "run", "pins/two", "new.o");
	snprintf(expected, sizeof(expected), "bpf-upgrade: link %u has a program that uses the old map, but is not pinned in pins/two: pin it there, or end the process that has it\n",
		 link_id(self->link));
	EXPECT_EQ(1, told.status);
	EXPECT_STREQ(expected, told.err);

	ASSERT_EQ(0, bpf_obj_pin(bpf_link__fd(late), "pins/late"));
	EXPECT_REFUSED("pins/late is not the link of an fentry or fmod_ret program: first let one take its place, with the same map; for XDP, tcx, netkit and cgroups, use the library",
		       "pins", "new.o");
	ASSERT_EQ(0, unlink("pins/settings") || bpf_obj_pin(map, "pins/settings"));
	EXPECT_REFUSED("the map settings in pins has other sizes than in new.o: only one map can be converted, so rename it",
		       "pins", "new.o");
	ASSERT_EQ(0, unlink("pins/counts") || bpf_obj_pin(map, "pins/counts"));
	EXPECT_REFUSED("pins/counts cannot become counts of new.o: the old map has keys of 8 and values of 116 bytes",
		       "pins", "new.o");
	close(counts);
	bpf_link__destroy(idle);
	bpf_link__destroy(late);
	upgrade_gen_old__destroy(other);
}

/* The new layout is as large as the old one, and must not be taken for it. */
TEST_F(tool, not_twice)
{
	__u32 map;

	let_go(self);
	PUT_OBJECT("same.o", upgrade_tool_same);
	run(&told, "run", "pins", "same.o");
	ASSERT_EQ(0, told.status) TH_LOG("%s", told.err);
	call(1);
	map = pinned_id("pins/counts");
	EXPECT_REFUSED("pins/counts has the layout of counts already, and same.o converts another one to it: was it upgraded before?",
		       "pins", "same.o");
	EXPECT_EQ(map, pinned_id("pins/counts"));
}

TEST_HARNESS_MAIN
