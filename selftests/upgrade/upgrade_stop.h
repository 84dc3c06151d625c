/* SPDX-License-Identifier: GPL-2.0-only */
/* Stop the command bpf-upgrade at a system call: as a debugger does, by ptrace(). */
#ifndef UPGRADE_STOP_H
#define UPGRADE_STOP_H

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "upgrade_command.h"

struct system_call {
	pid_t pid;		/* of who makes it */
	__u64 number, args[6];
	bool made;		/* otherwise it is about to be made */
};

static inline void be_traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
}

/* Where a traced process is stopped. */
static inline void look_at(struct system_call *call)
{
	struct __ptrace_syscall_info info = {};

	ptrace(PTRACE_GET_SYSCALL_INFO, call->pid, sizeof(info), &info);
	call->made = info.op == PTRACE_SYSCALL_INFO_EXIT;
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	call->number = info.entry.nr;
	memcpy(call->args, info.entry.args, sizeof(call->args));
}

/* Start it, and stop it where `here` says so. False: it has ended before. */
static inline bool stop_command(struct told *told, bool (*here)(const struct system_call *),
				int argc, char **argv)
{
	struct system_call call = {};
	int status;

	start_command(told, argc, argv, be_traced);
	call.pid = told->pid;
	waitpid(call.pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, call.pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	do {
		ptrace(PTRACE_SYSCALL, call.pid, 0, 0);
		waitpid(call.pid, &status, 0);
		if (!WIFSTOPPED(status)) {
			has_ended(told, status);
			return false;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			look_at(&call);
	} while (WSTOPSIG(status) != (SIGTRAP | 0x80) || !here(&call));
	return true;
}

#define stop(told, here, ...) ({							\
	char *argv_[] = { "bpf-upgrade", __VA_ARGS__, NULL };				\
	stop_command(told, here, sizeof(argv_) / sizeof(*argv_) - 1, argv_); })

/* Let it run to its end. */
static inline void go_on(struct told *told)
{
	ptrace(PTRACE_DETACH, told->pid, 0, 0);
	end_command(told);
}

static inline void kill_command(struct told *told)
{
	kill(told->pid, SIGKILL);
	end_command(told);
}

#endif /* UPGRADE_STOP_H */
