// SPDX-License-Identifier: GPL-2.0-only
/*
 * Upgrades of maps that are 95 % full, while timer interrupts, softirqs and NMIs change
 * them, too. An interrupt can find no memory, and an NMI a lock that its CPU holds: then
 * its change is refused, and the upgrade says so.
 */
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <unistd.h>
#include "upgrade_run.h"

#define BALLAST (9 * LOAD_KEYS)

FIXTURE(interrupts)
{
	struct run run;
	pthread_t nmis;
};

FIXTURE_VARIANT(interrupts)
{
	struct map_kind kind;
};

MAP_KIND_VARIANTS(interrupts);

FIXTURE_SETUP(interrupts)
{
	run_setup(_metadata, &self->run);
	self->run.interrupts = true;
	self->run.upgrades = 2;	/* no plot */
	self->run.ballast = variant->kind.array ? 0 : BALLAST;
}

FIXTURE_TEARDOWN(interrupts)
{
	run_teardown(&self->run);
}

/* What /proc/PID/stat says: the PID, the name in parentheses, the state. */
static bool read_stat(int fd, char stat[256])
{
	ssize_t length = pread(fd, stat, 255, 0);

	if (length < 0)
		return false;
	stat[length] = '\0';
	return true;
}

/* The kernel's thread that prints to the console; -1: there is none. */
static int open_printer(void)
{
	int fd, printer = -1;
	glob_t found = {};
	char stat[256];

	glob("/proc/[0-9]*/stat", 0, NULL, &found);
	for (size_t i = 0; printer < 0 && i < found.gl_pathc; i++) {
		fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
		if (read_stat(fd, stat) && strstr(stat, "(pr/tty"))
			printer = fd;
		else
			close(fd);
	}
	globfree(&found);
	return printer;
}

/* It sleeps once everything is on the console. */
static bool is_printing(int printer)
{
	char stat[256];

	return printer >= 0 && read_stat(printer, stat) && !strstr(stat, ") S ");
}

/* The kernel asks each CPU for a backtrace, the others by an NMI. */
static void *send_nmis(void *arg)
{
	struct load *load = arg;
	int trigger = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	int printer = open_printer();

	while (trigger >= 0 && !__atomic_load_n(&load->stop, __ATOMIC_SEQ_CST)) {
		__u64 start = load_now();

		if (write(trigger, "l", 1) != 1)
			break;
		/* The console has to keep up, or messages are dropped. */
		usleep(100000 + 4 * (load_now() - start) / 1000);
		while (is_printing(printer) && !__atomic_load_n(&load->stop, __ATOMIC_SEQ_CST))
			usleep(100000);
	}
	close(printer);
	close(trigger);
	return NULL;
}

/* What must not happen to the threads, and is no difference between the maps. */
static __u64 went_wrong(const struct load *load)
{
	__u64 count = 0;

	for (int i = 0; i < LOAD_THREADS; i++) {
		const struct writer *w = &load->writer[i];

		count += w->not_run + w->done_twice + w->by_old_alone + w->wrong_reads;
	}
	return count;
}

static __u64 done(const struct load *load, enum load_context context,
		  enum load_version version)
{
	__u64 sum = 0;

	for (int cpu = 0; cpu < LOAD_CPUS; cpu++)
		sum += *(volatile __u64 *)
			&load->interrupts[context * LOAD_CPUS + cpu].done[version];
	return sum;
}

/* Until it has changed something in each of these contexts, but for ten seconds at most. */
static void wait_for(const struct load *load, enum load_version version, bool nmis)
{
	__u64 begin = load_now();

	while ((!done(load, LOAD_HARDIRQ, version) || !done(load, LOAD_SOFTIRQ, version) ||
		(nmis && !done(load, LOAD_NMI, version))) &&
	       load_now() - begin < 10000000000ULL)
		usleep(2000);
}

static void expect_done(struct __test_metadata *_metadata, const struct load *load,
			enum load_context context, const char *name)
{
	__u64 old = done(load, context, LOAD_OLD), new = done(load, context, LOAD_NEW);

	TH_LOG("%s: %llu changes by the old version, %llu by the new one", name, old, new);
	EXPECT_LT(0, old);
	EXPECT_LT(0, new);
}

static void upgrade_once(struct __test_metadata *_metadata, FIXTURE_DATA(interrupts) *self,
			 const struct map_kind *kind, bool nmis)
{
	struct upgrade_report report = { .sz = sizeof(report) };
	struct run *run = &self->run;
	struct load *load = run->load;
	struct verdict v;
	__u64 refused;
	int err;

	memset(load, 0, sizeof(*load));
	run->nmis = nmis;
	run_open_old(_metadata, run, kind);
	run_open_new(_metadata, run, kind);
	ASSERT_EQ(0, load_start(load));
	if (nmis)
		ASSERT_EQ(0, pthread_create(&self->nmis, NULL, send_nmis, load));
	wait_for(load, LOAD_OLD, nmis);
	err = upgrade_run(run->upgrade, &report);
	wait_for(load, LOAD_NEW, nmis);
	load_wait(load, 2000);
	load_end(load);
	if (nmis)
		pthread_join(self->nmis, NULL);
	load_judge(load, &v);

	refused = report.lock_failures + report.own_failures + report.copy_failures;
	TH_LOG("%llu keys of %u; refused: %llu locks, %llu owners, %llu copies; evicted %llu",
	       v.keys, bpf_map__max_entries(run->new->maps.new_map), report.lock_failures,
	       report.own_failures, report.copy_failures, v.evicted);
	EXPECT_EQ(0, report.handled_twice);
	EXPECT_EQ(0, report.missed_events);
	EXPECT_EQ(0, report.evicted);
	EXPECT_EQ(0, went_wrong(load));
	if (!nmis)
		EXPECT_EQ(0, report.lock_failures);
	EXPECT_EQ(refused ? -EUCLEAN : 0, err) TH_LOG("upgrade_run: %s", report.error);
	EXPECT_EQ(UPGRADE_DONE, report.phase);
	EXPECT_EQ(0, v.lost + v.stale + v.resurrected)
		TH_LOG("%llu lost, %llu stale, %llu resurrected: %s", v.lost, v.stale,
		       v.resurrected, v.first);
	if (!kind->lru)
		EXPECT_LE(95, 100 * v.keys / bpf_map__max_entries(run->new->maps.new_map));

	expect_done(_metadata, load, LOAD_HARDIRQ, "hardirq");
	expect_done(_metadata, load, LOAD_SOFTIRQ, "softirq");
	if (nmis)
		expect_done(_metadata, load, LOAD_NMI, "NMI");

	run_close_new(run);
	run_close_old(run);
}

TEST_F_TIMEOUT(interrupts, nothing_lost, SECONDS)
{
	upgrade_once(_metadata, self, &variant->kind, false);
}

TEST_F_TIMEOUT(interrupts, nothing_lost_in_nmis, SECONDS)
{
	if (!nmi_can_update(variant->kind.type, variant->kind.flags,
			    LOAD_KEYS + self->run.ballast))
		SKIP(return, "NMIs cannot update large hash maps");
	if (libbpf_num_possible_cpus() < 2)
		SKIP(return, "NMIs are sent to the other CPUs, of which there are none");
	upgrade_once(_metadata, self, &variant->kind, true);
}

TEST_HARNESS_MAIN
