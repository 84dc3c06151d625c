/* SPDX-License-Identifier: GPL-2.0-only */
/* What evict.bpf.c and the tests share. */
#ifndef EVICT_H
#define EVICT_H

#define EVICT_KEYS 4096		/* a power of two */
#define EVICT_CPUS 8

#endif /* EVICT_H */
