// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads, timers and perf events on all CPUs change the same few elements by every
 * path while programs attach, detach and veto. No report is lost: two observers stay
 * attached, and what they saw, plus what the kernel says that it skipped because the
 * observer was already running on that CPU, is what was issued.
 *
 * The kernel counts skipped runs for each program, so this is an equation for each
 * hook. What is said to be missed on a path is the rest.
 */
#include <sys/resource.h>
#include <unistd.h>
#include "stress_expect.h"
#include "stress_open.h"
#include "stress_seconds.h"

FIXTURE(stress)
{
	struct stress *skel;
	struct actors *actors;
};

FIXTURE_VARIANT(stress)
{
	struct map_kind kind;
};

MAP_KIND_VARIANTS(stress);

FIXTURE_SETUP(stress)
{
	self->actors = actors_open(_metadata, &variant->kind, false);
	self->skel = self->actors->skel;
}

FIXTURE_TEARDOWN(stress)
{
	actors_close(self->actors);
}

static void attach(struct __test_metadata *_metadata, struct bpf_program *prog,
		   struct bpf_link **link)
{
	*link = bpf_program__attach(prog);
	ASSERT_NE(NULL, *link) TH_LOG("%s: %m", bpf_program__name(prog));
}

/*
 * Attach each program once, which takes long under load. In the time that remains,
 * attach and detach one after the other, so that any of them are attached.
 */
static int attach_and_detach(struct __test_metadata *_metadata, struct stress *skel,
			     double seconds)
{
	struct bpf_program *const progs[] = {
		skel->progs.nest, skel->progs.veto_update, skel->progs.exit_update,
		skel->progs.veto_delete, skel->progs.exit_delete,
	};
	const int n = sizeof(progs) / sizeof(*progs);
	struct bpf_link *links[sizeof(progs) / sizeof(*progs)] = {};
	double end = now() + seconds;
	int attached = 0, i;

	while (attached < n || now() < end) {
		i = attached < n ? attached : rand() % n;
		if (links[i]) {
			ASSERT_EQ(0, bpf_link__destroy(links[i]));
			links[i] = NULL;
		} else {
			attach(_metadata, progs[i], &links[i]);
			attached++;
		}
	}
	for (i = 0; i < n; i++)
		bpf_link__destroy(links[i]);
	return attached;
}

TEST_F_TIMEOUT(stress, every_path, SECONDS + load_seconds())
{
	struct stress *skel = self->skel;
	struct actors *s = self->actors;
	unsigned long before = nmis(), seen;
	int attached;

	attach(_metadata, skel->progs.observe_update, &skel->links.observe_update);
	attach(_metadata, skel->progs.observe_delete, &skel->links.observe_delete);
	ASSERT_EQ(0, actors_start(s)) TH_LOG("%s", s->failed);
	/* The threads leave it little time to attach in. */
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, 0, -20));
	attached = attach_and_detach(_metadata, skel, load_seconds());
	ASSERT_TRUE(actors_stop(s)) TH_LOG("a timer goes on");
	ASSERT_EQ(0, s->error) TH_LOG("%s: %s", s->failed, strerror(-s->error));

	seen = nmis() - before;
	printf("# perf: %s: %llu runs, %lu NMIs\n", s->hardware ?
	       "a hardware counter, in NMI context" :
	       "cpu-clock, in hard interrupt context",
	       skel->bss->perf_runs, seen);
	if (s->hardware)
		EXPECT_LT(0, seen);
	printf("# %d times attached, %llu vetoes\n", attached, skel->bss->vetoed);
	expect_all(_metadata, skel, HOOK_UPDATE, skel->progs.observe_update);
	expect_all(_metadata, skel, HOOK_DELETE, skel->progs.observe_delete);
	expect_load(_metadata, s);
	EXPECT_EQ(0, skel->bss->odd) TH_LOG("results that were neither 0 nor the veto's");
}

TEST_HARNESS_MAIN
