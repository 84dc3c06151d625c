/* SPDX-License-Identifier: GPL-2.0-only */
/* What stress_attach.bpf.c and the test share. */
#ifndef STRESS_ATTACH_H
#define STRESS_ATTACH_H

#define LOAD_KEYS 4
#define LOAD_ENTRIES 64	/* enough for these keys on each CPU: no LRU map evicts one */

#endif /* STRESS_ATTACH_H */
