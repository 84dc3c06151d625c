/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that change a map while it is upgraded, and what they remember. */
#ifndef UPGRADE_WRITERS_H
#define UPGRADE_WRITERS_H

#include <pthread.h>
#include <stdbool.h>
#include <linux/types.h>
#include "upgrade_load.h"

#define LOAD_FILL LOAD_WRITERS	/* the writer of what was there at first */

/* The last successful operation of one writer on one key, or slot of it. */
struct record {
	__u64 start, end;	/* CLOCK_MONOTONIC; 0: there is none */
	__u32 stamp;		/* of an update */
	bool deleted;
	bool new;		/* made by the new version */
};

struct history {
	struct record key;		/* creation and deletion */
	struct record slot[LOAD_CPUS];	/* contents; maps of one value use the first */
};

struct writer {
	struct load *load;
	pthread_t thread;
	int id, cpu;
	bool program;		/* has BPF programs change the map */
	__u32 sequence;
	__u64 random;
	__u32 sweep;		/* of keys, once the new version is in charge */
	int busy;		/* an operation on the old map is under way */
	__u64 done;		/* successful changes */
	__u64 failed;		/* changes that failed after their report */
	__u64 by_new;		/* successful changes by the new version */
	__u64 not_run;		/* operations that no version ran */
	__u64 wrong_reads;	/* of keys that nobody else writes */
	__u64 longest_ns;	/* one system call */
	__u64 held_ns;		/* at the gate */
	struct history history[LOAD_KEYS];
	struct history maybe[LOAD_KEYS];	/* see load_by_program() */
};

struct load {
	bool percpu, array, lru;
	int old_fd, new_fd;
	struct load_request *requests;
	int hold, use_new, stop;
	/* The last is no thread: it has filled the map at first. */
	struct writer writer[LOAD_WRITERS + 1];
};

struct bpf_map;

__u64 load_now(void);

/*
 * Before a map is loaded: give it a type, flags and a size. The old map is so
 * small that a hash gets full and an LRU map evicts, the new one so large that
 * it does neither.
 */
int load_shape(struct load *load, struct bpf_map *map, __u32 type, __u32 flags, bool new);

/* Write a value for every CPU in a layout to `buffer`; the size of it in bytes. */
__u32 load_value(const struct load *load, void *buffer, __u32 stamp, bool new);

/* In upgrade_ops.c: one round of a writer's work; the first content of the old map. */
void load_by_program(struct writer *writer);
void load_by_syscall(struct writer *writer);
int load_fill(struct load *load);

/* Fill half of the old map and start the threads. 0 or an errno. */
int load_start(struct load *load);
void load_end(struct load *load);

/* Stop the writers in user space at their gate; open it, to one map or the other. */
void load_hold(struct load *load);
void load_release(struct load *load, bool use_new);

/* Successful changes so far, by all writers or by those on one CPU. */
__u64 load_done(const struct load *load);
__u64 load_done_on(const struct load *load, int cpu);

/* Wait for that many more changes, but no longer than two seconds. */
void load_wait(const struct load *load, __u64 changes);

/* How the content of the new map differs from what the writers did. */
struct verdict {
	__u64 keys;		/* that the new map holds */
	__u64 lost, stale, resurrected;
	__u64 evicted;		/* absent as they are from the old map, an LRU map */
	char first[160];	/* of the differences, in words */
};

/* Call it when the writers have ended. */
void load_judge(const struct load *load, struct verdict *verdict);

#endif /* UPGRADE_WRITERS_H */
