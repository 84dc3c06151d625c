// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's first process: mount what the tests need, start the agent, power off
 * after it.
 *
 * It takes the place of virtme-ng's init, which also runs systemd-tmpfiles and udev:
 * under emulation they take longer than the boot of the kernel. virtme-ng tells in
 * the environment what to mount. The arguments are the agent's command, and at last
 * the path of virtme-ng's init, which is ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define SAFE (MS_NOSUID | MS_NODEV)
#define OVERLAYS "/run/overlay"

extern char **environ;

static const struct {
	const char *type, *folder, *data;
	unsigned long flags;
	int optional;	/* the kernel may be configured without it */
} mounts[] = {
	{ "proc", "/proc", "", SAFE | MS_NOEXEC },
	{ "sysfs", "/sys", "", SAFE | MS_NOEXEC },
	{ "devtmpfs", "/dev", "mode=755", MS_NOSUID },
	{ "tmpfs", "/run", "mode=755", SAFE },
	{ "devpts", "/dev/pts", "mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", SAFE },
	{ "tracefs", "/sys/kernel/tracing", "", SAFE | MS_NOEXEC, 1 },
	{ "debugfs", "/sys/kernel/debug", "", SAFE | MS_NOEXEC, 1 },
	{ "cgroup2", "/sys/fs/cgroup", "", SAFE | MS_NOEXEC, 1 },
	{ "bpf", "/sys/fs/bpf", "mode=700", SAFE | MS_NOEXEC, 1 },
};

/* What udev would make; shells need them for <(…). */
static const char *const links[][2] = {
	{ "/proc/self/fd", "/dev/fd" },
	{ "/proc/self/fd/0", "/dev/stdin" },
	{ "/proc/self/fd/1", "/dev/stdout" },
	{ "/proc/self/fd/2", "/dev/stderr" },
};

static void give_up(const char *doing, const char *what)
{
	fprintf(stderr, "init: %s %s: %s\n", doing, what, strerror(errno));
	exit(1);	/* the kernel panics */
}

static void mount_on(const char *source, const char *folder, const char *type,
		     unsigned long flags, const char *data)
{
	if (mount(source, folder, type, flags, data))
		give_up("mount", folder);
}

static void make_folders(const char *path)
{
	char part[4096];

	for (const char *end = path; (end = strchr(end + 1, '/')); ) {
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		mkdir(part, 0755);
	}
	mkdir(path, 0755);
}

/* What is written to `folder` stays in memory. */
static void mount_overlay(const char *folder, int number)
{
	char upper[64], work[64], data[4096];

	snprintf(upper, sizeof(upper), OVERLAYS "/%d/upper", number);
	snprintf(work, sizeof(work), OVERLAYS "/%d/work", number);
	make_folders(upper);
	make_folders(work);
	snprintf(data, sizeof(data), "lowerdir=%s,upperdir=%s,workdir=%s",
		 folder, upper, work);
	mount_on("overlay", folder, "overlay", 0, data);
}

static void mount_share(const char *folder, int number)
{
	char tag[64], path[4096];

	snprintf(tag, sizeof(tag), "virtme.initmount%d", number);
	snprintf(path, sizeof(path), "/%s", folder);
	make_folders(path);
	mount_on(tag, path, "9p", MS_RDONLY,
		 "trans=virtio,version=9p2000.L,access=any,msize=512000");
}

static void mount_all(void)
{
	char name[64];
	const char *folder;

	for (int i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i].folder, 0755);
		if (mount(mounts[i].type, mounts[i].folder, mounts[i].type,
			  mounts[i].flags, mounts[i].data) && !mounts[i].optional)
			give_up("mount", mounts[i].folder);
	}
	for (int i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
			give_up("link", links[i][1]);
	for (int i = 0; ; i++) {
		snprintf(name, sizeof(name), "virtme_rw_overlay%d", i);
		folder = getenv(name);
		if (!folder)
			break;
		if (!access(folder, F_OK))
			mount_overlay(folder, i);
	}
	for (int i = 0; ; i++) {
		snprintf(name, sizeof(name), "virtme_initmount%d", i);
		folder = getenv(name);
		if (!folder)
			break;
		mount_share(folder, i);
	}
}

static void use_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	for (int to = 0; to < 3 && fd >= 0; to++)
		dup2(fd, to);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	char *environment[] = {
		"HOME=/root", "TERM=linux",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
	};
	pid_t agent;

	mount_all();
	use_console();
	if (getenv("virtme_hostname"))
		sethostname(getenv("virtme_hostname"), strlen(getenv("virtme_hostname")));
	argv[argc - 1] = NULL;
	agent = fork();
	if (!agent) {
		setsid();
		prctl(PR_SET_CHILD_SUBREAPER, 1);	/* kept by exec */
		environ = environment;
		execv(argv[1], argv + 1);
		give_up("start", argv[1]);
	}
	while (wait(NULL) != agent)
		;
	reboot(RB_POWER_OFF);
}
