// SPDX-License-Identifier: GPL-2.0-only
/* Changes from the callback of bpf_for_each_map_elem(). */
#include "expect.h"
#include "for_each.skel.h"

FIXTURE(for_each)
{
	struct traced t;
	struct for_each *progs;
	struct values old, new;
};

FIXTURE_VARIANT(for_each)
{
	struct map_kind kind;
};

TRACED_KIND_VARIANTS(for_each);

FIXTURE_SETUP(for_each)
{
	traced_open(_metadata, &self->t, &variant->kind, VIA(VIA_FENTRY));
	self->progs = for_each__open();
	ASSERT_NE(NULL, self->progs);
	ASSERT_EQ(0, bpf_map__reuse_fd(self->progs->maps.target, self->t.fd));
	ASSERT_EQ(0, for_each__load(self->progs));
	self->old = make_values(2, 1);
	self->new = make_values(2, 2);
	ASSERT_EQ(0, traced_put(&self->t, FROM_SYSCALL, 2, &self->old, 0));
	traced_forget(&self->t);
}

FIXTURE_TEARDOWN(for_each)
{
	for_each__destroy(self->progs);
	traced_close(&self->t);
}

TEST_F(for_each, update)
{
	struct op op = { .key = 2, .value = self->new.on[0],
			 .flags = BPF_EXIST };
	struct traced *t = &self->t;
	struct values now = self->new;

	if (variant->kind.percpu) {
		now = self->old;
		now.on[t->cpu] = self->new.on[0];
	}
	EXPECT_EQ(0, traced_run(self->progs->progs.for_each_update, &op));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_UPDATE, 2,
			flags_in_hook(t, FROM_PROG, BPF_EXIST), &self->new,
			&self->old, -1);
	expect_content(_metadata, t, 2, &now);
}

/* The key lies in the element that is deleted: the hook can still read it. */
TEST_F(for_each, delete)
{
	struct op op = { .key = 2 };
	struct traced *t = &self->t;
	int err = traced_run(self->progs->progs.for_each_delete, &op);

	if (variant->kind.array) {
		EXPECT_EQ(-EINVAL, err);
		expect_reports(_metadata, t, 0);
		expect_content(_metadata, t, 2, &self->old);
		return;
	}
	EXPECT_EQ(0, err);
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_DELETE, 2, 0, NULL, &self->old, 1);
	expect_content(_metadata, t, 2, NULL);
}

TEST_HARNESS_MAIN
