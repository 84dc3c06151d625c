/* SPDX-License-Identifier: GPL-2.0-only */
/* An event: getpgid() with this number plus a key. */
#ifndef UPGRADE_ONCE_H
#define UPGRADE_ONCE_H

#define ONCE_MAGIC 0x10ad1000
#define ONCE_KEYS 16

/* What upgrade_update_elem() is to do, and what it returns. */
struct once_update {
	__u32 key;
	__s32 result;
	__u64 value;
};

#endif /* UPGRADE_ONCE_H */
