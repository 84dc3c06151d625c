/* SPDX-License-Identifier: GPL-2.0-only */
/* What the BPF programs and the C files of the benchmark share. */
#ifndef BENCH_H
#define BENCH_H

/* Elements of a measured map, and operations in a round; a power of two. */
#define KEYS 256

#endif /* BENCH_H */
