// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs come and go while all CPUs change maps of each kind; on the debug kernel, some
 * fail to load or to attach for lack of memory. Maps no longer call the hook after the
 * last one is gone, and no change fails.
 *
 * STRESS_SECONDS in the environment is for how long, beyond a few of each kind.
 */
#include <sys/wait.h>
#include "hooks/static_key_fail.h"
#include "stress_load.h"
#include "stress_seconds.h"

#define CYCLES 3	/* at least */

/* Until then, and a few times at least; allocations fail one after another. */
static void cycles(struct __test_metadata *_metadata, const struct probe *probe,
		   const char *program, bool multi, double end)
{
	int fail = fail_open(_metadata), nth = 0, n;
	struct cycles count = {};

	for (n = 0; n < CYCLES || now() < end; n++) {
		if (fail >= 0)
			nth++;
		if (cycle(_metadata, probe, program, multi, fail, nth, &count))
			nth = 0;
	}
	printf("# %s: %d cycles, %u failed allocations, %u times loaded, %u attached\n",
	       program, n, count.failures, count.loaded, count.attached);
}

FIXTURE(stress_attach)
{
	struct probe probe;
	struct load load;
	double end;
};

WAYS_TO_ATTACH(stress_attach);

FIXTURE_SETUP(stress_attach)
{
	probe_open(_metadata, &self->probe);
	expect_on_and_off(_metadata, &self->probe);
	load_start(_metadata, &self->load);
	libbpf_set_print(NULL);
	self->end = now() + load_seconds();
}

FIXTURE_TEARDOWN(stress_attach)
{
	expect_off(_metadata, &self->probe);
	load_stop(_metadata, &self->load);
	expect_off(_metadata, &self->probe);
	static_key__destroy(self->probe.skel);
}

TEST_F_TIMEOUT(stress_attach, cycles, SECONDS + load_seconds())
{
	cycles(_metadata, &self->probe, variant->program, variant->multi, self->end);
}

/* The same without variants. */
FIXTURE(stress_hook)
{
	struct probe probe;
	struct load load;
	double end;
};

FIXTURE_SETUP(stress_hook)
{
	probe_open(_metadata, &self->probe);
	expect_on_and_off(_metadata, &self->probe);
	load_start(_metadata, &self->load);
	libbpf_set_print(NULL);
	self->end = now() + load_seconds();
}

FIXTURE_TEARDOWN(stress_hook)
{
	expect_off(_metadata, &self->probe);
	load_stop(_metadata, &self->load);
	expect_off(_metadata, &self->probe);
	static_key__destroy(self->probe.skel);
}

/* Every way at the same time: while one program goes, another comes. */
TEST_F_TIMEOUT(stress_hook, together, SECONDS + load_seconds())
{
	static const struct {
		const char *program;
		bool multi;
	} ways[] = {
		{ "fentry" }, { "fexit" }, { "fmod_ret" }, { "fsession" },
		{ "fentry_multi", true }, { "fexit_multi", true },
		{ "fsession_multi", true },
	};
	int status;

	fflush(stdout);
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			cycles(_metadata, &self->probe, ways[i].program, ways[i].multi,
			       self->end);
			fflush(stdout);
			_exit(_metadata->exit_code);
		}
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		ASSERT_LT(0, wait(&status));
		EXPECT_EQ(0, status);
	}
}

TEST_F_TIMEOUT(stress_hook, too_many, SECONDS + load_seconds())
{
	int n;

	for (n = 0; !n || now() < self->end; n++)
		attach_too_many(_metadata, &self->probe,
				n % 2 ? "fentry_multi" : "fentry", n % 2);
	printf("# %d times too many\n", n);
}

/* Extensions have trampolines, too, but of no hook. */
TEST_F_TIMEOUT(stress_hook, extensions, SECONDS + load_seconds())
{
	int n;

	for (n = 0; n < CYCLES || now() < self->end; n++)
		extend(_metadata, &self->probe);
	printf("# extension: %d cycles\n", n);
}

TEST_HARNESS_MAIN
