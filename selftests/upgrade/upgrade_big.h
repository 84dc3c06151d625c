/* SPDX-License-Identifier: GPL-2.0-only */
/* The largest keys and values that the library promises to carry over. */
#ifndef UPGRADE_BIG_H
#define UPGRADE_BIG_H

#define BIG_KEY 32		/* words: 256 bytes */
#define BIG_VALUE 1024		/* words: 8 KiB */

struct big_key {
	__u64 word[BIG_KEY];	/* in reverse order in the new version */
};

struct big_value {
	__u64 word[BIG_VALUE];	/* inverted in the new version */
};

/* What the new version is to do: an update by upgrade_update_elem(). */
struct big_op {
	struct big_key key;
	struct big_value value;
	__s64 result;
};

#endif /* UPGRADE_BIG_H */
