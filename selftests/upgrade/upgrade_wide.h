/* SPDX-License-Identifier: GPL-2.0-only */
/* What upgrade_small.bpf.c and the tests that load it share. */
#ifndef UPGRADE_WIDE_H
#define UPGRADE_WIDE_H

#include "upgrade_slow.h"

/* An old key becomes { key, 0 }; other parts exist in the new version only. */
struct wide_key {
	__u32 key;
	__u32 part;
};

enum wide_kind {
	WIDE_READ,
	WIDE_UPDATE,
	WIDE_WRITE,		/* update, but announced by upgrade_before_write() */
	WIDE_DELETE,
};

/* What the new version is to do, and what it found before doing it. */
struct wide_op {
	enum wide_kind kind;
	struct wide_key key;
	__u64 value;
	__u64 found;		/* 0: nothing */
	__s64 result;
};

#endif /* UPGRADE_WIDE_H */
