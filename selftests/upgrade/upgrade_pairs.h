/* SPDX-License-Identifier: GPL-2.0-only */
/* What upgrade_pairs.c and both versions of its program share. */
#ifndef UPGRADE_PAIRS_H
#define UPGRADE_PAIRS_H

#define PAIRS_MAGIC 0x70000000	/* getpgid() of this plus a key is an event */
#define PAIRS_KEYS 64

struct wide_count {
	__u64 unused;
	__u64 count;
};

#endif /* UPGRADE_PAIRS_H */
