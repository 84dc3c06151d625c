/* SPDX-License-Identifier: GPL-2.0-only */
/* Load and attach a program while one of the kernel's allocations fails. */
#ifndef STATIC_KEY_FAIL_H
#define STATIC_KEY_FAIL_H

#include <fcntl.h>
#include "static_key.h"

#define FAIL_NTH "/proc/thread-self/fail-nth"
#define FAILSLAB "/sys/kernel/debug/failslab/"

static inline void fail_set(struct __test_metadata *_metadata, const char *file,
			    const char *value)
{
	int fd = open(file, O_WRONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %s", file, strerror(errno));
	ASSERT_LT(0, write(fd, value, strlen(value))) TH_LOG("%s", file);
	close(fd);
}

/* For cycle(); negative if this kernel's allocations do not fail on demand. */
static inline int fail_open(struct __test_metadata *_metadata)
{
	int fd = open(FAIL_NTH, O_RDWR);

	if (fd < 0)
		return fd;
	/* Allocations that may sleep, too; without a trace on the console for each. */
	fail_set(_metadata, FAILSLAB "ignore-gfp-wait", "N");
	fail_set(_metadata, FAILSLAB "verbose", "0");
	return fd;
}

/* Let this thread's nth allocation from now on fail; none for 0. */
static inline void fail_nth(struct __test_metadata *_metadata, int fd, int nth)
{
	char text[16];

	ASSERT_LT(0, pwrite(fd, text, snprintf(text, sizeof(text), "%d", nth), 0));
}

/* How many allocations are left until one fails; 0 if it did. */
static inline int fail_left(struct __test_metadata *_metadata, int fd)
{
	char text[16] = {};

	ASSERT_LT(0, pread(fd, text, sizeof(text) - 1, 0));
	return atoi(text);
}

struct cycles {
	unsigned int failures;	/* injected */
	unsigned int loaded, attached;
};

/*
 * Load, attach, detach and unload a program; the nth allocation fails, unless nth is 0.
 * True if there was none left to fail.
 */
static inline bool cycle(struct __test_metadata *_metadata, const struct probe *probe,
			 const char *program, bool multi, int fail, int nth,
			 struct cycles *count)
{
	struct static_key *skel = static_key__open();
	struct bpf_link *link = NULL;
	bool all = true;
	int err;

	ASSERT_NE(NULL, skel);
	choose_program(_metadata, skel->obj, program);
	if (nth)
		fail_nth(_metadata, fail, nth);
	err = static_key__load(skel);
	if (!err)
		link = attach(_metadata, skel, program, multi, false);
	if (nth) {
		all = fail_left(_metadata, fail);
		fail_nth(_metadata, fail, 0);
	}
	if (link) {
		calls(_metadata, probe);
		EXPECT_LE(1, skel->bss->runs);
	}
	ASSERT_TRUE(link || !all) TH_LOG("failed without a reason");
	count->failures += !all;
	count->loaded += !err;
	count->attached += !!link;
	bpf_link__destroy(link);
	static_key__destroy(skel);
	return all;
}

#endif /* STATIC_KEY_FAIL_H */
