/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that change a map while it is being upgraded. */
#ifndef UPGRADE_WRITERS_H
#define UPGRADE_WRITERS_H

#include "upgrade_history.h"

struct bpf_map;

/*
 * Set type, flags and size of a map that is not loaded yet. The old map is small
 * enough for a hash to fill up and an LRU map to evict, the new one large enough
 * that neither happens. With ballast, they have room for all keys and no more, but for
 * a new LRU map.
 */
int load_shape(struct load *load, struct bpf_map *map, __u32 type, __u32 flags, bool new);

/* Fill half of the old map and start the threads. 0 or an errno. */
int load_start(struct load *load);
void load_end(struct load *load);

/*
 * Stop the writers that use system calls at their gate; open it again, to the old
 * map or to the new one. If `claim_fd` is not 0, they call upgrade_claim() with it.
 */
void load_hold(struct load *load, enum load_hold hold);
void load_release(struct load *load, bool use_new, int claim_fd);

/* Successful changes so far, by all writers or by those on one CPU. */
__u64 load_done(const struct load *load);
__u64 load_done_on(const struct load *load, int cpu);

/* Wait for that many more changes, but for two seconds at most. */
void load_wait(const struct load *load, __u64 changes);

#endif /* UPGRADE_WRITERS_H */
