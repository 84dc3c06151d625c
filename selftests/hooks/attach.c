// SPDX-License-Identifier: GPL-2.0-only
/* Which programs can attach, alone and together, and what detaching does. */
#include "attach.skel.h"
#include "expect.h"

FIXTURE(attach)
{
	struct traced t;
};

FIXTURE_VARIANT(attach)
{
	unsigned int via;
};

FIXTURE_VARIANT_ADD(attach, fentry) { VIA(VIA_FENTRY) };
FIXTURE_VARIANT_ADD(attach, fexit) { VIA(VIA_FEXIT) };
FIXTURE_VARIANT_ADD(attach, fmod_ret) { VIA(VIA_FMOD_RET) };
FIXTURE_VARIANT_ADD(attach, all) { VIA_ALL };

FIXTURE_SETUP(attach)
{
}

FIXTURE_TEARDOWN(attach)
{
	traced_close(&self->t);
}

/* An update and, where the map supports it, a deletion: both are reported. */
static void change(struct __test_metadata *_metadata, struct traced *t,
		   const struct map_kind *kind, unsigned int via)
{
	struct values zero = {}, new = make_values(2, 1);

	traced_open(_metadata, t, kind, via);
	EXPECT_EQ(0, traced_put(t, FROM_SYSCALL, 2, &new, 0));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_UPDATE, 2, 0, &new,
			kind->array ? &zero : NULL, 0);
	if (kind->array)
		return;
	traced_forget(t);
	EXPECT_EQ(0, traced_delete(t, FROM_SYSCALL, 2));
	expect_reports(_metadata, t, 1);
	expect_reported(_metadata, t, HOOK_DELETE, 2, 0, NULL, &new, 1);
}

#define ATTACH_TO(name, ...)						\
	TEST_F(attach, name)						\
	{								\
		const struct map_kind kind = { __VA_ARGS__ };		\
									\
		change(_metadata, &self->t, &kind, variant->via);	\
	}

ATTACH_TO(array, BPF_MAP_TYPE_ARRAY, .array = true)
ATTACH_TO(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, .percpu = true,
	  .array = true)
ATTACH_TO(hash, BPF_MAP_TYPE_HASH)
ATTACH_TO(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, .percpu = true)
ATTACH_TO(rhash, BPF_MAP_TYPE_RHASH, BPF_F_NO_PREALLOC, .uncounted = true)
ATTACH_TO(lru_hash, BPF_MAP_TYPE_LRU_HASH, .lru = true)
ATTACH_TO(lru_percpu_hash, BPF_MAP_TYPE_LRU_PERCPU_HASH, .percpu = true,
	  .lru = true)

/* Two sets of programs watch one map; one detaches, the other goes on. */
TEST_F(attach, detach)
{
	const struct map_kind kind = { BPF_MAP_TYPE_HASH };
	struct values value = make_values(2, 1);
	struct traced *t = &self->t;
	struct recorder *second;

	traced_open(_metadata, t, &kind, variant->via);
	second = recorder__open();
	ASSERT_NE(NULL, second);
	ASSERT_EQ(0, bpf_map__reuse_fd(second->maps.target, t->fd));
	ASSERT_EQ(0, recorder__load(second));
	second->bss->target_id = t->skel->bss->target_id;
	ASSERT_EQ(0, recorder__attach(second));

	EXPECT_EQ(0, traced_put(t, FROM_PROG, 2, &value, 0));
	expect_reports(_metadata, t, 1);
	EXPECT_EQ(VIA_COUNT, second->bss->n_events);

	recorder__detach(t->skel);
	EXPECT_EQ(0, traced_put(t, FROM_PROG, 2, &value, 0));
	EXPECT_EQ(0, traced_delete(t, FROM_PROG, 2));
	expect_reports(_metadata, t, 1);
	EXPECT_EQ(3 * VIA_COUNT, second->bss->n_events);

	recorder__detach(second);
	EXPECT_EQ(0, traced_put(t, FROM_PROG, 2, &value, 0));
	EXPECT_EQ(0, traced_delete(t, FROM_PROG, 2));
	expect_reports(_metadata, t, 1);
	EXPECT_EQ(3 * VIA_COUNT, second->bss->n_events);
	recorder__destroy(second);
}

/* One program at a time: the verifier refuses it and says why. */
static void expect_refused(struct __test_metadata *_metadata, const char *name)
{
	struct attach *skel = attach__open();
	struct bpf_program *prog;
	char log[4096] = "";

	ASSERT_NE(NULL, skel);
	prog = choose_program(_metadata, skel->obj, name);
	bpf_program__set_log_buf(prog, log, sizeof(log));
	EXPECT_EQ(-EINVAL, attach__load(skel)) TH_LOG("%s", name);
	EXPECT_NE(NULL, strstr(log, "is not sleepable"))
		TH_LOG("%s: the verifier says: %s", name, log);
	attach__destroy(skel);
}

TEST(sleepable_fentry_refused)
{
	expect_refused(_metadata, "fentry_update");
	expect_refused(_metadata, "fentry_delete");
}

TEST(sleepable_fexit_refused)
{
	expect_refused(_metadata, "fexit_update");
	expect_refused(_metadata, "fexit_delete");
}

TEST(sleepable_fmod_ret_refused)
{
	expect_refused(_metadata, "fmod_ret_update");
	expect_refused(_metadata, "fmod_ret_delete");
}

TEST_HARNESS_MAIN
