/* SPDX-License-Identifier: GPL-2.0-only */
/* Layouts of the old and the new version, which call them by the same names. */
#ifndef UPGRADE_GEN_H
#define UPGRADE_GEN_H

struct old_key {
	__u32 address;
	__u16 port;
};

struct new_key {
	__u16 port;
	__u64 address;
	__u32 zone;
};

enum old_state { OLD_IDLE, OLD_BUSY = 7 };
enum new_state { NEW_IDLE, NEW_WAITING, NEW_BUSY = 7 };

struct old_part {
	__s16 small;
	__u8 kept[3];
};

struct new_part {
	__u32 added;
	__u8 kept[5];
	__s64 small;
};

struct tight {			/* unchanged, whatever is in it */
	__u8 one;
	__u64 odd;
	__u32 low:4, high:12;
	union {
		__u32 word;
		__u8 bytes[4];
	} both;
} __attribute__((packed));

struct old_value {
	char name[16];
	__u32 widened;
	__u64 dropped;
	struct old_part part;
	struct old_part parts[2][3];
	__u8 bytes[4];
	struct {
		__u8 nameless;
	};
	union {
		__u32 ip4;
		__u8 ip6[16];
	};
	enum old_state state;
	_Bool flag;
	struct tight tight;
	__u32 edge;
} __attribute__((packed, aligned(4)));

struct new_value {
	struct tight tight;
	__u64 added;
	enum new_state state;
	_Bool flag;
	__s64 widened;
	union {
		__u32 ip4;
		__u8 ip6[16];
	};
	__u32 nameless;
	struct new_part part;
	struct new_part parts[2][3];
	__u16 bytes[6];
	__u32 edge;
	char name[16];
};

#endif /* UPGRADE_GEN_H */
