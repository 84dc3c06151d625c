/* SPDX-License-Identifier: GPL-2.0-only */
/* Run the command bpf-upgrade, and look at what it prints. */
#ifndef UPGRADE_COMMAND_H
#define UPGRADE_COMMAND_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "bpf_harness.h"

int command(int argc, char **argv);

struct told {
	pid_t pid;
	int out_file, err_file;
	int status;
	char out[1 << 14], err[1024];
};

static inline void read_back(int file, char *text, size_t size)
{
	ssize_t len = pread(file, text, size - 1, 0);

	text[len < 0 ? 0 : len] = '\0';
	close(file);
}

/* In a process of its own, as a user would; `first` is what that does before. */
static inline void start_command(struct told *told, int argc, char **argv, void (*first)(void))
{
	told->out_file = memfd_create("out", 0);
	told->err_file = memfd_create("err", 0);
	told->pid = fork();
	if (told->pid)
		return;
	dup2(told->out_file, STDOUT_FILENO);
	dup2(told->err_file, STDERR_FILENO);
	if (first)
		first();
	exit(command(argc, argv));
}

/* With this status, of waitpid(). */
static inline void has_ended(struct told *told, int status)
{
	told->status = WIFEXITED(status) ? WEXITSTATUS(status) : -status;
	read_back(told->out_file, told->out, sizeof(told->out));
	read_back(told->err_file, told->err, sizeof(told->err));
}

static inline void end_command(struct told *told)
{
	int status = 0;

	waitpid(told->pid, &status, 0);
	has_ended(told, status);
}

static inline void run_command(struct told *told, int argc, char **argv)
{
	start_command(told, argc, argv, NULL);
	end_command(told);
}

#define run(told, ...) ({							\
	char *argv_[] = { "bpf-upgrade", __VA_ARGS__, NULL };			\
	run_command(told, sizeof(argv_) / sizeof(*argv_) - 1, argv_); })

/* The current folder: for objects, and with a file system for pins. */
static char folder[] = "/tmp/upgrade_command.XXXXXX";

static inline int make_folder(void)
{
	return !mkdtemp(folder) || chdir(folder) || mkdir("pins", 0700) ||
	       mount("none", "pins", "bpf", 0, NULL);
}

static inline void remove_folder(void)
{
	umount2("pins", MNT_DETACH);
	unlink("old.o");
	unlink("new.o");
	unlink("pairs.o");
	rmdir("pins");
	rmdir(folder);
}

static inline void put_object(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file || fwrite(bytes, size, 1, file) != 1)
		printf("# cannot write %s\n", path);
	if (file)
		fclose(file);
}

/* Write the object that a skeleton contains. */
#define PUT_OBJECT(path, name) do {			\
	size_t size_;					\
	const void *bytes_ = name##__elf_bytes(&size_);	\
	put_object(path, bytes_, size_);		\
} while (0)

#endif /* UPGRADE_COMMAND_H */
