/* SPDX-License-Identifier: GPL-2.0-only */
/* What the typed tests and their BPF programs share. */
#ifndef TYPED_H
#define TYPED_H

/* Fields of every width, nested structs, arrays and bit fields. */
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

/* What a program read, and the signed fields again, sign-extended. */
struct seen {
	__u32 runs;
	__u32 other_size;
	struct element key;
	struct element value;
	__s64 wide[4];
};

#endif /* TYPED_H */
