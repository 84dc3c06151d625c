// SPDX-License-Identifier: GPL-2.0-only
/* The upgrading process is killed before the switch: the old version never notices. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "upgrade_run.h"

#define KILLS 5		/* per kind of map */

/* Loaded programs of that name, which bpf_prog_info cuts off after 15 characters. */
static int programs_named(const char *name)
{
	struct bpf_prog_info info;
	__u32 id = 0, len;
	int fd, n = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		fd = bpf_prog_get_fd_by_id(id);
		if (fd < 0)
			continue;
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (!bpf_prog_get_info_by_fd(fd, &info, &len) &&
		    !strncmp(info.name, name, BPF_OBJ_NAME_LEN - 1))
			n++;
		close(fd);
	}
	return n;
}

static int programs_left(void)
{
	return programs_named("upgrade_mark_update") + programs_named("upgrade_mark_delete") +
	       programs_named("new_event");
}

/* Get as far as the last moment before the switch, then wait for the signal. */
static int wait_for_the_end(void *ctx)
{
	return pause();
}

static void start_and_kill(struct __test_metadata *_metadata, struct run *run,
			   const struct map_kind *kind, unsigned int ms)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	pid_t child = fork();
	int status;
	__u64 done;

	ASSERT_LE(0, child);
	if (!child) {
		run->hold = wait_for_the_end;
		/* The load leaves the verifier little CPU time. */
		setpriority(PRIO_PROCESS, 0, -20);
		run_open_new(_metadata, run, kind);
		setpriority(PRIO_PROCESS, 0, 0);
		upgrade_run(run->upgrade, &report);
		_exit(1);
	}
	/* Loading takes long; the upgrade itself begins right after it. */
	for (int i = 0; i < 6000 && !programs_named("new_event"); i++)
		usleep(10000);
	EXPECT_EQ(3, programs_left());
	usleep(ms * 1000);
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("it ended before it was killed");
	/* The kernel frees what a killed process held some time later. */
	for (int i = 0; i < 500 && programs_left(); i++)
		usleep(10000);
	EXPECT_EQ(0, programs_left());
	done = load_done(run->load);
	load_wait(run->load, 1000);
	EXPECT_LT(done, load_done(run->load)) TH_LOG("the old version has stopped");
	printf("# killed %u ms after loading\n", ms);
}

FIXTURE(killed)
{
	struct run run;
};

FIXTURE_VARIANT(killed)
{
	struct map_kind kind;
};

FIXTURE_VARIANT_ADD(killed, hash) { .kind = { BPF_MAP_TYPE_HASH } };
FIXTURE_VARIANT_ADD(killed, lru_hash) { .kind = { BPF_MAP_TYPE_LRU_HASH, .lru = true } };

FIXTURE_SETUP(killed)
{
	struct run *run = &self->run;

	run_setup(_metadata, run);
	run->upgrades = 1;		/* so that it prints no samples */
	run_open_old(_metadata, run, &variant->kind);
	ASSERT_EQ(0, load_start(run->load));
}

FIXTURE_TEARDOWN(killed)
{
	run_close_old(&self->run);
	run_teardown(&self->run);
}

TEST_F_TIMEOUT(killed, before_the_switch, SECONDS)
{
	struct run *run = &self->run;
	struct upgrade_report report = { .sz = sizeof(report) };
	struct verdict v;

	srandom(load_now());
	for (int i = 0; i < KILLS; i++)
		start_and_kill(_metadata, run, &variant->kind, random() % 1000);

	/* The next one succeeds and misses nothing that was written meanwhile. */
	run_open_new(_metadata, run, &variant->kind);
	EXPECT_EQ(0, upgrade_run(run->upgrade, &report)) TH_LOG("%s", report.error);
	load_wait(run->load, 1000);
	load_end(run->load);
	load_judge(run->load, &v);
	EXPECT_EQ(0, v.lost + v.stale + v.resurrected)
		TH_LOG("%llu lost, %llu stale, %llu resurrected: %s", v.lost, v.stale,
		       v.resurrected, v.first);
	run_close_new(run);
}

TEST_HARNESS_MAIN
