// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's allocations fail, one after another, while a program is loaded and
 * attached to a hook: the hook is called while there is a program, and not after.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include "static_key.h"

#define FAIL_NTH "/proc/thread-self/fail-nth"
#define FAILSLAB "/sys/kernel/debug/failslab/"
#define FAIL_SECONDS 300

FIXTURE(static_key_fail)
{
	struct probe probe;
	int fail_nth;
};

WAYS_TO_ATTACH(static_key_fail);

static void set(struct __test_metadata *_metadata, const char *file, const char *value)
{
	int fd = open(file, O_WRONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %s", file, strerror(errno));
	ASSERT_LT(0, write(fd, value, strlen(value))) TH_LOG("%s", file);
	close(fd);
}

FIXTURE_SETUP(static_key_fail)
{
	self->fail_nth = open(FAIL_NTH, O_RDWR);
	if (self->fail_nth < 0)
		SKIP(return, "no CONFIG_FAULT_INJECTION: only with --debug-kernel");
	/* Allocations that may sleep, too; without a trace on the console for each. */
	set(_metadata, FAILSLAB "ignore-gfp-wait", "N");
	set(_metadata, FAILSLAB "verbose", "0");
	probe_open(_metadata, &self->probe);
	libbpf_set_print(NULL);
}

FIXTURE_TEARDOWN(static_key_fail)
{
	static_key__destroy(self->probe.skel);
}

/* Let this thread's nth allocation from now on fail; none for 0. */
static void fail_nth(struct __test_metadata *_metadata, int fd, int nth)
{
	char text[16];

	ASSERT_LT(0, pwrite(fd, text, snprintf(text, sizeof(text), "%d", nth), 0));
}

/* How many allocations are left until one fails; 0 if it did. */
static int left(struct __test_metadata *_metadata, int fd)
{
	char text[16] = {};

	ASSERT_LT(0, pread(fd, text, sizeof(text) - 1, 0));
	return atoi(text);
}

TEST_F_TIMEOUT(static_key_fail, each_allocation, FAIL_SECONDS)
{
	unsigned int loaded = 0, attached = 0;
	int nth = 0;

	do {
		struct static_key *skel = static_key__open();
		struct bpf_link *link = NULL;
		int err;

		ASSERT_NE(NULL, skel);
		choose_program(_metadata, skel->obj, variant->program);
		fail_nth(_metadata, self->fail_nth, ++nth);
		err = static_key__load(skel);
		if (!err)
			link = attach(_metadata, skel, variant->program,
				      variant->multi, false);
		if (left(_metadata, self->fail_nth))
			nth = 0;	/* there was no nth one: that was all */
		fail_nth(_metadata, self->fail_nth, 0);
		if (link)
			expect_calls(_metadata, &self->probe, 1, 0);
		ASSERT_TRUE(nth || link);
		loaded += !err;
		attached += !!link;
		bpf_link__destroy(link);
		static_key__destroy(skel);
	} while (nth);
	expect_off(_metadata, &self->probe);
	TH_LOG("%u times loaded, %u times attached", loaded, attached);
	/* Attaching failed as well, not only loading. */
	EXPECT_LT(attached, loaded);
}

TEST_HARNESS_MAIN
