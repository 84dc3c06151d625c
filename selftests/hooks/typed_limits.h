/* SPDX-License-Identifier: GPL-2.0-only */
/* What typed_limits.bpf.c and typed_limits.c share. */
#ifndef TYPED_LIMITS_H
#define TYPED_LIMITS_H

#define MAX_READS 16

/* A load through the key, at an address or offset, and the same with the helper. */
struct far_read {
	__u64 address;
	__u64 loaded;
	__u64 probed;
	__u64 loaded_again;
	__s64 error;
};

#endif /* TYPED_LIMITS_H */
