/* SPDX-License-Identifier: GPL-2.0-only */
/* A process under the policy, which judges the policy's decisions itself. */
#ifndef POLICY_WORKER_H
#define POLICY_WORKER_H

#include <stdatomic.h>
#include <sys/types.h>

#define SLOTS 16	/* files that a worker keeps open for more than a round */
#define ALWAYS_OPEN 4	/* of these, files that stay open until the end */

enum worker_state {
	WORKER_RUN,
	WORKER_REST,	/* open, write and close nothing */
	WORKER_EXIT,
};

/* What a worker reports, in memory shared with the test. */
struct worker {
	pid_t pid;
	_Atomic int state;		/* what it is doing; -1: nothing yet */
	_Atomic unsigned long rounds;
	_Atomic unsigned long judged;	/* writes whose outcome was checked */
	_Atomic unsigned long refused_wrongly;
	_Atomic unsigned long allowed_wrongly;
	_Atomic unsigned long failed;	/* anything else that went wrong */
	const char *first_wrong;	/* what the first wrong outcome was about */
	unsigned long first_round;
	struct slot {
		int fd;		/* -1: closed */
		unsigned int ino;
	} slots[SLOTS];
};

/*
 * Put this process under the policy, whose members are pinned at `members`, and do
 * what *wanted (enum worker_state) says until that is WORKER_EXIT. The policy must
 * refuse writes to `inherited`.
 */
void worker_run(struct worker *self, const _Atomic int *wanted, const char *members,
		int inherited) __attribute__((noreturn));

#endif /* POLICY_WORKER_H */
