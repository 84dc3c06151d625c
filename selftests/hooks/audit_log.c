// SPDX-License-Identifier: GPL-2.0-only
/* The log of changes in Documentation/bpf/map_tracing.rst; the Makefile cuts it out. */
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "audit_log.skel.h"

#define MAX 8

enum what { WILL_UPDATE, UPDATED, DELETED };

/* As in the example. */
struct entry {
	enum what what;
	__u32 map_id;
	__u32 pid;
	char comm[16];
	__u32 key;
	bool found;
	__u64 value;
};

struct entries {
	struct entry e[MAX];
	int n;
};

static int collect(void *ctx, void *data, size_t size)
{
	struct entries *entries = ctx;

	if (size != sizeof(struct entry) || entries->n == MAX)
		return -E2BIG;
	memcpy(&entries->e[entries->n++], data, size);
	return 0;
}

TEST(audit_log)
{
	static const struct {
		enum what what;
		__u32 key;
		bool found;
		__u64 value;
	} expected[] = {
		{ WILL_UPDATE, 2, false, 0 }, { UPDATED, 2, true, 42 },
		{ WILL_UPDATE, 2, true, 42 }, { UPDATED, 2, true, 43 },
		{ WILL_UPDATE, 3, false, 0 },	/* which then fails */
		{ DELETED, 2, true, 43 },
	};
	const int n = sizeof(expected) / sizeof(*expected);
	struct audit_log *skel = audit_log__open_and_load();
	struct entries entries = {};
	struct ring_buffer *log;
	__u64 value = 42;
	__u32 key = 2;
	int fd;

	ASSERT_NE(NULL, skel);
	fd = bpf_map__fd(skel->maps.audited);
	ASSERT_NE(0, id_of(fd));
	ASSERT_EQ(0, prctl(PR_SET_NAME, "auditee"));
	log = ring_buffer__new(bpf_map__fd(skel->maps.changes), collect, &entries, NULL);
	ASSERT_NE(NULL, log);
	ASSERT_EQ(0, audit_log__attach(skel));

	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &value, BPF_ANY));
	value = 43;
	EXPECT_EQ(0, bpf_map_update_elem(fd, &key, &value, BPF_EXIST));
	key = 3;
	EXPECT_EQ(-ENOENT, bpf_map_update_elem(fd, &key, &value, BPF_EXIST));
	key = 2;
	EXPECT_EQ(0, bpf_map_delete_elem(fd, &key));

	EXPECT_EQ(n, ring_buffer__consume(log));
	ASSERT_EQ(n, entries.n);
	for (int i = 0; i < n; i++) {
		const struct entry *e = &entries.e[i];

		EXPECT_EQ(expected[i].what, e->what) TH_LOG("entry %d", i);
		EXPECT_EQ(expected[i].key, e->key) TH_LOG("entry %d", i);
		EXPECT_EQ(expected[i].found, e->found) TH_LOG("entry %d", i);
		EXPECT_EQ(expected[i].value, e->value) TH_LOG("entry %d", i);
		EXPECT_EQ(id_of(fd), e->map_id);
		EXPECT_EQ(getpid(), e->pid);
		EXPECT_STREQ("auditee", e->comm);
	}
	EXPECT_EQ(0, skel->bss->lost);
	ring_buffer__free(log);
	audit_log__destroy(skel);
}

TEST_HARNESS_MAIN
