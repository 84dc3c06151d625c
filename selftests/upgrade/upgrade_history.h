/* SPDX-License-Identifier: GPL-2.0-only */
/* The writers of a map under upgrade, and what they remember of their operations. */
#ifndef UPGRADE_HISTORY_H
#define UPGRADE_HISTORY_H

#include <pthread.h>
#include <stdbool.h>
#include <linux/types.h>
#include "upgrade_request.h"

#define LOAD_FILL LOAD_WRITERS	/* the "writer" of the map's first content */
#define LOAD_LOG 4096

/* The last successful operation of one writer on one key, or on one slot of it. */
struct record {
	__u64 start, end;	/* CLOCK_MONOTONIC; 0: no such operation */
	__u32 stamp;		/* for an update */
	bool deleted;
	bool new;		/* done by the new version */
};

struct history {
	/*
	 * Of the old version, after the new one had failed to do the same in the same
	 * event: it counts only if the new version does not own the key.
	 */
	struct record alone;
	struct record key;		/* creation and deletion */
	struct record slot[LOAD_CPUS];	/* content; only the first unless per-CPU */
};

/* An operation by programs, and the result of each version. */
struct logged {
	__u64 start;
	struct load_op op;
	long result[LOAD_VERSIONS];
};

struct writer {
	struct load *load;
	pthread_t thread;
	int id, cpu;
	bool program;		/* has BPF programs change the map */
	__u32 sequence;
	__u64 random;
	__u32 sweep;		/* through the keys, once the new version is in charge */
	int busy;		/* an operation on the old map is in flight */
	__u64 done;		/* successful changes */
	__u64 failed;		/* changes that were reported and then failed */
	__u64 by_new;		/* successful changes by the new version */
	__u64 not_run;		/* operations that no version ran */
	__u64 done_twice;	/* changes that both versions made */
	__u64 by_old_alone;	/* ... that the new one failed to make, and the old one made */
	__u64 wrong_reads;	/* of keys that no other writer touches */
	__u64 longest_ns;	/* longest system call */
	__u64 held_ns;		/* spent at the gate */
	struct history history[LOAD_KEYS];
	__u32 logged;
	struct logged log[LOAD_LOG];	/* the last ones, to explain a wrong read */
};

/* Which of the threads wait. */
enum load_hold { LOAD_HOLD_NONE, LOAD_HOLD_SYSCALLS, LOAD_HOLD_ALL };

struct load {
	int cpus;
	bool percpu, array, lru;
	__u32 ballast;		/* elements that nobody changes, after the others */
	int old_fd, new_fd;
	int claim_fd;		/* the program for upgrade_claim(); 0: not needed */
	struct load_request *requests;
	struct load_interrupt *interrupts;	/* NULL: they change nothing */
	enum load_hold hold;
	int use_new, stop;
	/*
	 * Threads, then interrupts by context and CPU. The last one stands for the first
	 * content.
	 */
	struct writer writer[LOAD_WRITERS + 1];
};

__u64 load_now(void);

/* What the first content holds. */
static inline __u32 load_fill_stamp(__u32 key)
{
	return (LOAD_FILL + 1) << 24 | key;
}

/* An operation succeeded: it is now the writer's last one on this key. */
void load_remember(struct writer *w, const struct load_op *op, bool new, __u64 start,
		   __u64 end);

/* The same for a change that the new version failed to make, and then the old one made. */
void load_remember_alone(struct writer *w, const struct load_op *op, __u64 start, __u64 end);

/* The same for all that a CPU's interrupts changed, once they do so no more. */
void load_remember_interrupts(struct writer *w, const struct load_interrupt *in);

/* Log what a request did. */
void load_log(struct writer *w, const struct load_request *r, __u64 start);

/* Check the result of reading a key that no other writer touches. */
void load_check_read(struct writer *w, const struct load_op *op, long found);

#endif /* UPGRADE_HISTORY_H */
