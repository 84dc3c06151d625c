/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations by system calls, counted as they must be reported. */
#ifndef STRESS_OPS_H
#define STRESS_OPS_H

struct actor;

/* Some of them, chosen at random. */
void ops_change(struct actor *a);

/* Create a small map, fill it past its size, free it with its elements. */
void ops_fill_small(struct actor *a);

#endif /* STRESS_OPS_H */
