// SPDX-License-Identifier: GPL-2.0-only
/*
 * How changes of the old map are reported: by the hooks, or by the functions that change
 * maps of its type, on a kernel without the hooks or if the caller wants that.
 */
#include <errno.h>
#include <sys/syscall.h>
#include "upgrade_run.h"

FIXTURE(watch)
{
	struct run run;
	const struct map_kind *kind;
	__u64 changes;		/* that have to be reported */
	__u64 inlined;		/* or may be not, per CPU and with a kernel optimized at link time */
	int failed;		/* the line of a system call that should not have failed */
};

FIXTURE_VARIANT(watch)
{
	struct map_kind kind;
};

MAP_KIND_VARIANTS(watch);

#define DO(count, call) do {						\
	if ((call) && !self->failed)					\
		self->failed = __LINE__;				\
	self->changes += count;						\
} while (0)

/* Have the old version's program make this change. */
static int by_program(FIXTURE_DATA(watch) *self, enum load_kind kind, __u32 key)
{
	struct load_request *r = self->run.load->requests;

	r->count = 1;
	r->op[0] = (struct load_op){ .kind = kind, .key = key, .stamp = key };
	r->result[LOAD_OLD][0] = LOAD_NOT_RUN;
	syscall(SYS_getpgid, LOAD_MAGIC);
	return r->result[LOAD_OLD][0];
}

/* Each path on which a change can be made, one after the other. */
static int change(void *ctx)
{
	FIXTURE_DATA(watch) *self = ctx;
	__u64 value[2 * LOAD_CPUS];
	__u32 keys[2] = { 2, 3 }, key = 1, count = 2, one = 1, token;
	int old = self->run.load->old_fd, err;

	memset(value, 1, sizeof(value));
	DO(1, bpf_map_update_elem(old, &key, value, BPF_ANY));
	DO(2, bpf_map_update_batch(old, keys, value, &count, NULL));
	self->inlined = self->changes;
	DO(1, by_program(self, LOAD_UPDATE, 5));
	DO(1, by_program(self, LOAD_UPDATE, 6));
	if (self->kind->array)
		return 0;
	DO(1, by_program(self, LOAD_DELETE, 6));
	DO(1, bpf_map_delete_elem(old, &key));
	DO(1, bpf_map_lookup_and_delete_elem(old, &keys[0], value));
	DO(1, bpf_map_delete_batch(old, &keys[1], &one, NULL));
	/* All that is left: an element. */
	count = 2;
	err = bpf_map_lookup_and_delete_batch(old, NULL, &token, keys, value, &count, NULL);
	DO(1, err != -ENOENT || count != 1);
	DO(1, by_program(self, LOAD_UPDATE, 7));
	return 0;
}

static int nothing(void *ctx)
{
	return 0;
}

static struct upgrade_opts opts_for(FIXTURE_DATA(watch) *self)
{
	return (struct upgrade_opts){
		.sz = sizeof(struct upgrade_opts), .old_map_fd = self->run.load->old_fd,
		.attach_new = change, .detach_old = nothing, .ctx = self,
	};
}

FIXTURE_SETUP(watch)
{
	self->kind = &variant->kind;
	self->run.without_hooks = true;
	run_setup(_metadata, &self->run);
	run_open_old(_metadata, &self->run, self->kind);
	self->run.new = upgrade_load__open();
	ASSERT_NE(NULL, self->run.new);
	ASSERT_EQ(0, load_shape(self->run.load, self->run.new->maps.new_map, self->kind->type,
				self->kind->flags, true));
}

FIXTURE_TEARDOWN(watch)
{
	run_close_new(&self->run);
	run_close_old(&self->run);
	run_teardown(&self->run);
}

static bool is_new(FIXTURE_DATA(watch) *self, __u32 key)
{
	struct new_value value[LOAD_CPUS] = {};

	key += LOAD_SHIFT;
	return !bpf_map_lookup_elem(bpf_map__fd(self->run.new->maps.new_map), &key, value) &&
	       (value[0].stamp || value[1].stamp);
}

static void expect_reports(struct __test_metadata *_metadata, FIXTURE_DATA(watch) *self,
			   bool hooks)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	struct upgrade_opts opts = opts_for(self);

	opts.without_hooks = !hooks;
	opts.old_decides = !hooks;
	ASSERT_EQ(0, open_upgrade(self->run.new->obj, &opts, &self->run.upgrade));
	ASSERT_EQ(0, upgrade_load__load(self->run.new));
	EXPECT_EQ(0, upgrade_run(self->run.upgrade, &report)) TH_LOG("%s", report.error);
	EXPECT_EQ(0, self->failed);
	EXPECT_EQ(hooks, report.hooks);
	if (hooks || !self->kind->percpu || report.changes != self->changes - self->inlined)
		EXPECT_EQ(self->changes, report.changes);
	/* Without the hooks, a batch is reported once, and without the keys in it. */
	EXPECT_EQ(!hooks && !self->kind->array, report.unmarked);
	EXPECT_EQ(0, report.stragglers);
	EXPECT_EQ(self->kind->array, is_new(self, 1));
	EXPECT_EQ(self->kind->array, is_new(self, 2));
	EXPECT_EQ(self->kind->array, is_new(self, 3));
	EXPECT_EQ(self->kind->array, is_new(self, 5));
	EXPECT_EQ(self->kind->array, is_new(self, 6));
	EXPECT_EQ(!self->kind->array, is_new(self, 7));
}

TEST_F(watch, with_hooks)
{
	expect_reports(_metadata, self, true);
}

TEST_F(watch, without_hooks)
{
	expect_reports(_metadata, self, false);
}

/* Nothing keeps the old version's program from changing its map after the switch. */
TEST_F(watch, refuses_side_by_side)
{
	struct upgrade_opts opts = opts_for(self);
	const char *reason = "without the hook bpf_map_trace_update_elem, ";
	char error[256] = "";

	opts.error = error;
	opts.error_size = sizeof(error);
	opts.without_hooks = true;
	EXPECT_EQ(-EOPNOTSUPP, upgrade_open(self->run.new->obj, &opts, &self->run.upgrade));
	EXPECT_EQ(0, strncmp(reason, error, strlen(reason))) TH_LOG("%s", error);
	EXPECT_EQ(NULL, self->run.upgrade);

	opts.attach_new = NULL;
	opts.detach_old = NULL;
	opts.replace_old = nothing;
	EXPECT_EQ(0, upgrade_open(self->run.new->obj, &opts, &self->run.upgrade))
		TH_LOG("%s", error);
}

TEST_HARNESS_MAIN
