// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's allocations fail, one after another, while a program is loaded and
 * attached to a hook: the hook is called while there is a program, and not after.
 */
#include "static_key_fail.h"

#define FAIL_SECONDS 300

FIXTURE(static_key_fail)
{
	struct probe probe;
	int fail;
};

WAYS_TO_ATTACH(static_key_fail);

FIXTURE_SETUP(static_key_fail)
{
	self->fail = fail_open(_metadata);
	if (self->fail < 0)
		SKIP(return, "no CONFIG_FAULT_INJECTION: only with --debug-kernel");
	probe_open(_metadata, &self->probe);
	libbpf_set_print(NULL);
}

FIXTURE_TEARDOWN(static_key_fail)
{
	static_key__destroy(self->probe.skel);
}

TEST_F_TIMEOUT(static_key_fail, each_allocation, FAIL_SECONDS)
{
	struct cycles count = {};
	int nth = 1;

	while (!cycle(_metadata, &self->probe, variant->program, variant->multi,
		      self->fail, nth, &count))
		nth++;
	expect_off(_metadata, &self->probe);
	TH_LOG("%u times loaded, %u times attached", count.loaded, count.attached);
	/* Attaching failed as well, not only loading. */
	EXPECT_LT(count.attached, count.loaded);
}

TEST_HARNESS_MAIN
