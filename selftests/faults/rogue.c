// SPDX-License-Identifier: GPL-2.0-only
/* Tests that misbehave, against the harness or the guest; see vm/faults.toml. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/klog.h>
#include <sys/syscall.h>
#include "kselftest_harness.h"
#include "trigger.h"

#define FLOOD (100 << 20)

static int parent_of(int pid)
{
	char path[64];
	int parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	return parent;
}

/* Each test is a child of the program, which the agent started. */
static int agent(void)
{
	return parent_of(getppid());
}

static void flood(int fd, long bytes)
{
	static char line[128];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (; bytes > 0; bytes -= sizeof(line))
		if (write(fd, line, sizeof(line)) < 0)
			return;
}

TEST(sleeps)
{
	signal(SIGTERM, SIG_IGN);
	sleep(1000);
}

TEST(floods_output)
{
	flood(STDOUT_FILENO, FLOOD);
}

TEST(floods_console)
{
	flood(open("/dev/console", O_WRONLY | O_NOCTTY), FLOOD);
}

/* Several at once, because the one that prints waits for the console. */
TEST(floods_kernel_log)
{
	for (int i = 0; i < 4; i++)
		if (!fork()) {
			flood(open("/dev/kmsg", O_WRONLY), 1 << 20);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
}

TEST(lowers_console_level)
{
	ASSERT_EQ(0, klogctl(8, NULL, 1));	/* SYSLOG_ACTION_CONSOLE_LEVEL */
	ASSERT_EQ(0, klogctl(6, NULL, 0));	/* SYSLOG_ACTION_CONSOLE_OFF */
	ASSERT_EQ(0, trigger("WARNING"));
}

TEST(mutes_console)
{
	ASSERT_EQ(0, system("echo N > /sys/module/printk/parameters/ignore_loglevel"));
	ASSERT_EQ(0, klogctl(8, NULL, 1));
	ASSERT_EQ(0, trigger("WARNING"));
}

TEST(fills_run)
{
	EXPECT_NE(0, system("cat /dev/zero > /run/full"));
}

TEST(fills_memory)
{
	for (;;)
		memset(malloc(1 << 20), 1, 1 << 20);
}

TEST(leaves_daemon)
{
	if (fork())
		return;
	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (!fork())
		sleep(1000);
	_exit(0);
}

TEST(kills_agent)
{
	ASSERT_EQ(0, kill(agent(), SIGKILL));
	sleep(1000);
}

/* A port cannot be opened twice, but root can take the descriptors of the agent. */
TEST(corrupts_channel)
{
	const char message[] = "ok 1 all tests passed\n";
	int pidfd = syscall(SYS_pidfd_open, agent(), 0), fd, ports = 0;
	char path[64], name[PATH_MAX];

	for (int i = 3; i < 20; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", agent(), i);
		memset(name, 0, sizeof(name));
		readlink(path, name, sizeof(name) - 1);
		if (!strstr(name, "vport"))
			continue;
		fd = syscall(SYS_pidfd_getfd, pidfd, i, 0);
		ASSERT_EQ(strlen(message), write(fd, message, strlen(message)));
		ports++;
	}
	ASSERT_NE(0, ports);
	sleep(1000);
}

TEST(closes_channel)
{
	ASSERT_EQ(0, system("cd /sys/bus/virtio/drivers/virtio_console && "
			    "for d in virtio*; do echo $d > unbind; done"));
	sleep(1000);
}

TEST_HARNESS_MAIN
