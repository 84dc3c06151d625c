// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf-upgrade gen: the C that it makes converts a map whose layout has changed. When
 * the tests are built, it makes the conversions of upgrade_gen.bpf.c.
 */
#include "upgrade_command.h"
#include "upgrade.h"
#include "upgrade_gen.h"
#include "upgrade_gen.skel.h"
#include "upgrade_gen_old.skel.h"
#include "upgrade_layout.skel.h"
#include "upgrade_gen_plain.skel.h"

static struct told told;

FIXTURE(gen)
{
	struct upgrade_gen_old *old;
};

/* The old version is loaded and its map pinned; objects are files in the same folder. */
FIXTURE_SETUP(gen)
{
	libbpf_set_print(print_warnings);
	ASSERT_EQ(0, make_folder());
	PUT_OBJECT("old.o", upgrade_gen_old);
	PUT_OBJECT("new.o", upgrade_gen_plain);
	PUT_OBJECT("pairs.o", upgrade_layout);
	self->old = upgrade_gen_old__open_and_load();
	ASSERT_NE(NULL, self->old);
	ASSERT_EQ(0, bpf_map__pin(self->old->maps.flows_by_address, "pins/map"));
	ASSERT_EQ(0, bpf_program__pin(self->old->progs.idle, "pins/prog"));
}

FIXTURE_TEARDOWN(gen)
{
	upgrade_gen_old__destroy(self->old);
	remove_folder();
}

static int nothing(void *ctx)
{
	return 0;
}

static void fill(struct old_value *old)
{
	memset(old, 0, sizeof(*old));
	strcpy(old->name, "fifteen letters");
	old->widened = 0xfedcba98;
	old->dropped = ~0ULL;
	old->part = (struct old_part){ -3, { 1, 2, 3 } };
	for (int i = 0; i < 6; i++)
		old->parts[i / 3][i % 3] = (struct old_part){ -i - 1, { i, i + 10, i + 20 } };
	for (int i = 0; i < 4; i++)
		old->bytes[i] = 250 + i;
	old->nameless = 77;
	for (int i = 0; i < 16; i++)
		old->ip6[i] = 100 + i;
	old->state = OLD_BUSY;
	old->flag = true;
	old->tight = (struct tight){ 1, 0x123456789abcdef0, 5, 0xabc, { 0x1f2e3d4c } };
	old->edge = 0xeeeeeeee;
}

static void convert(const struct old_value *old, struct new_value *new)
{
	memset(new, 0, sizeof(*new));
	memcpy(new->name, old->name, sizeof(new->name));
	new->widened = old->widened;
	new->part.small = old->part.small;
	memcpy(new->part.kept, old->part.kept, 3);
	for (int i = 0; i < 6; i++) {
		new->parts[i / 3][i % 3].small = old->parts[i / 3][i % 3].small;
		memcpy(new->parts[i / 3][i % 3].kept, old->parts[i / 3][i % 3].kept, 3);
	}
	for (int i = 0; i < 4; i++)
		new->bytes[i] = old->bytes[i];
	new->nameless = old->nameless;
	memcpy(new->ip6, old->ip6, 16);
	new->state = NEW_BUSY;
	new->flag = old->flag;
	new->tight = old->tight;
	new->edge = old->edge;
}

static size_t first_difference(const void *a, const void *b, size_t size)
{
	size_t i = 0;

	while (i < size && ((const __u8 *)a)[i] == ((const __u8 *)b)[i])
		i++;
	return i;
}

/* A running map becomes the new version's with what was generated. */
TEST_F(gen, converts)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts), .attach_new = nothing, .detach_old = nothing,
		.old_map_fd = bpf_map__fd(self->old->maps.flows_by_address),
		.error = told.err, .error_size = sizeof(told.err),
	};
	struct upgrade_report report = { .sz = sizeof(report) };
	struct old_key old_key;
	struct new_key key;
	struct new_value value, expected;
	struct old_value old;
	struct upgrade_gen *new;
	struct upgrade *upgrade = NULL;

	/* To a map, padding is part of the key. */
	memset(&old_key, 0, sizeof(old_key));
	memset(&key, 0, sizeof(key));
	old_key.port = key.port = 443;
	old_key.address = key.address = 0x0a000001;
	fill(&old);
	convert(&old, &expected);
	ASSERT_EQ(0, bpf_map_update_elem(opts.old_map_fd, &old_key, &old, BPF_ANY));
	new = upgrade_gen__open();
	ASSERT_NE(NULL, new);
	ASSERT_EQ(0, upgrade_open(new->obj, &opts, &upgrade)) TH_LOG("%s", told.err);
	ASSERT_EQ(0, upgrade_gen__load(new));
	EXPECT_EQ(0, upgrade_run(upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(1, report.keys);
	EXPECT_EQ(0, bpf_map_lookup_elem(bpf_map__fd(new->maps.flows_by_address), &key, &value));
	EXPECT_EQ(sizeof(value), first_difference(&expected, &value, sizeof(value)));
	upgrade_close(upgrade);
	upgrade_gen__destroy(new);
}

/* A pinned map has the types of the object that it was loaded from, and its name. */
TEST_F(gen, pinned)
{
	static struct told again;

	run(&told, "gen", "old.o", "new.o", "flows_by_address");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	EXPECT_NE(NULL, strstr(told.out, "new->name"));
	run(&again, "gen", "pins/map", "new.o");
	EXPECT_EQ(0, again.status) TH_LOG("%s", again.err);
	ASSERT_NE(NULL, strstr(again.out, "Yours to change"));
	EXPECT_STREQ(strstr(told.out, "Yours to change"), strstr(again.out, "Yours to change"));
	EXPECT_STREQ("", again.err);
}

/* A wrong call: one line that says what is wrong, and nothing that could be taken for C. */
#define EXPECT_ERROR(expected, ...) do {				\
	run(&told, "gen", __VA_ARGS__);					\
	EXPECT_EQ(1, told.status);					\
	EXPECT_STREQ("", told.out);					\
	EXPECT_STREQ("bpf-upgrade: " expected "\n", told.err);		\
} while (0)

TEST_F(gen, wrong_calls)
{
	EXPECT_ERROR("cannot open no.o: No such file or directory", "no.o", "new.o", "m");
	EXPECT_ERROR("cannot open the object no.o: No such file or directory",
		     "old.o", "no.o", "flows_by_address");
	EXPECT_ERROR("cannot open the object /dev/null: elf: '/dev/null' is not a proper ELF object",
		     "old.o", "/dev/null", "flows_by_address");
	EXPECT_ERROR("cannot open pins/none: No such file or directory", "pins/none", "new.o");
	EXPECT_ERROR("pins/prog is not a pinned map", "pins/prog", "new.o");
	EXPECT_ERROR("old.o is an object: name a map of it, too", "old.o", "new.o");
	EXPECT_ERROR("old.o has no map flows; it has: flows_by_address", "old.o", "new.o", "flows");
	EXPECT_ERROR("pairs.o has no map flows_by_addres: name the one that it becomes",
		     "pins/map", "pairs.o");
	EXPECT_ERROR("the map no_types in pairs.o has no types: declare it with __type(key, ...) and __type(value, ...)",
		     "pins/map", "pairs.o", "no_types");
	EXPECT_ERROR("pairs.o: maps of type 11 are not supported", "pins/map", "pairs.o", "prefixes");
	run(&told, "gen", "old.o");
	EXPECT_EQ(2, told.status);
	EXPECT_EQ(0, strncmp("usage: ", told.err, 7)) TH_LOG("%s", told.err);
}

TEST_HARNESS_MAIN
