/* SPDX-License-Identifier: GPL-2.0-only */
/* What typed.bpf.c and typed.c have in common. */
#ifndef TYPED_H
#define TYPED_H

/* A field of each width, nested ones, arrays and bit fields. */
struct element {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	struct {
		__u32 x;
		struct {
			__u16 y;
			__u8 z[3];
		} inner;
	} nested;
	__u32 words[3];
	__u32 low : 3;
	__s32 middle : 13;
	__u32 high : 16;
};

/* What a program read, and the signed fields once more, as wide as can be. */
struct seen {
	__u32 runs;
	__u32 other_size;
	struct element key;
	struct element value;
	__s64 wide[4];
};

#define MAX_READS 16

/* One load through the key at an address or offset, and the same by helper. */
struct far_read {
	__u64 address;
	__u64 loaded;
	__u64 probed;
	__u64 loaded_again;
	__s64 error;
};

#endif /* TYPED_H */
