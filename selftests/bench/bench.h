/* SPDX-License-Identifier: GPL-2.0-only */
/* What bench.bpf.c and bench.c have in common. */
#ifndef BENCH_H
#define BENCH_H

/* A power of two: the elements of a measured map, the operations of a round. */
#define KEYS 256

#endif /* BENCH_H */
