/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef UPGRADE_WIDE_H
#define UPGRADE_WIDE_H

/* Of an old key, only { key, 0 } is made: the others are the new version's alone. */
struct wide_key {
	__u32 key;
	__u32 part;
};

/* What the new version is to do; `found` is what it finds before that. */
struct wide_op {
	struct wide_key key;
	__u64 value;		/* 0: only look */
	__u64 found;		/* 0: nothing */
	__s64 result;
};

#endif /* UPGRADE_WIDE_H */
