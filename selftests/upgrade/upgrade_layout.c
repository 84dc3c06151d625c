// SPDX-License-Identifier: GPL-2.0-only
/* Changes of a layout for which bpf-upgrade gen cannot be right: it says why. */
#include "upgrade_command.h"
#include "upgrade_layout.skel.h"

static struct told told;

FIXTURE(refuses)
{
};

FIXTURE_VARIANT(refuses)
{
	const char *name, *error;
};

#define BY_HAND "; write the conversion by hand, see upgrade.bpf.h\n"
#define REFUSES(pair, why) FIXTURE_VARIANT_ADD(refuses, pair) { #pair, "bpf-upgrade: " why BY_HAND }

REFUSES(narrower, "value field f: __u64 cannot become __u32: it is narrower, so numbers may not fit");
REFUSES(boolean, "value field f: __u8 cannot become _Bool: it is narrower, so numbers may not fit");
REFUSES(negative, "value field f: __s32 cannot become __u64: negative numbers would become large ones");
REFUSES(large, "value field f: __u32 cannot become __s32: large numbers would become negative ones");
REFUSES(bits, "value field f: __u32 cannot become __u32: bit fields are only copied with a struct that is unchanged");
REFUSES(unions, "value field f: union {...} cannot become union {...}: it is not known which member is in use");
REFUSES(members, "value field f: union {...} cannot become union {...}: it is not known which member is in use");
REFUSES(into_union, "value field f: __u32 cannot move into a union");
REFUSES(out_of_union, "value field f: __u32 cannot move out of a union");
REFUSES(no_name, "value: struct no_name_old cannot become struct no_name_new: a union without a name has no member of its size");
REFUSES(shorter, "value field f: __u8[4] cannot become __u8[3]: elements would be lost");
REFUSES(names, "value field f: enum old_order cannot become enum new_order: its names have other values, or are gone");
REFUSES(kinds, "value field f: __u32 cannot become struct {...}: there is no obvious conversion");
REFUSES(pointer, "value field f: struct sock * cannot become __u64: there is no obvious conversion");
REFUSES(nested, "value field f[i0].g[i1].a: __u32 cannot become __u8: it is narrower, so numbers may not fit");
REFUSES(key_dropped, "key field f: __u32 cannot be dropped: two keys could become the same");
REFUSES(key_narrower, "key field f: __u32 cannot become __u16: it is narrower, so numbers may not fit");

FIXTURE_SETUP(refuses)
{
	ASSERT_EQ(0, make_folder());
	PUT_OBJECT("pairs.o", upgrade_layout);
}

FIXTURE_TEARDOWN(refuses)
{
	remove_folder();
}

TEST_F(refuses, layout)
{
	char was[64], is[64];

	snprintf(was, sizeof(was), "%s_was", variant->name);
	snprintf(is, sizeof(is), "%s_is", variant->name);
	run(&told, "gen", "pairs.o", "pairs.o", is, was);
	EXPECT_EQ(1, told.status);
	EXPECT_STREQ("", told.out);
	EXPECT_STREQ(variant->error, told.err);
}

TEST_HARNESS_MAIN
