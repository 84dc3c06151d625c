/* SPDX-License-Identifier: GPL-2.0-only */
/* What upgrade_torn.bpf.c and upgrade_torn.c share. */
#ifndef UPGRADE_TORN_H
#define UPGRADE_TORN_H

#define TORN_SIZE (4 << 20)	/* bytes that take long to copy */

struct torn_value {
	char byte[TORN_SIZE];
};

enum { TORN_FIRST = 1, TORN_SECOND };	/* what the two updates fill it with */

#endif /* UPGRADE_TORN_H */
