/* SPDX-License-Identifier: GPL-2.0-only */
/* What recorder.bpf.c and the tests share. */
#ifndef RECORDER_H
#define RECORDER_H

#define MAX_EVENTS 128
#define MAX_CPUS 8

enum hook { HOOK_UPDATE, HOOK_DELETE };

/* How the program that recorded an event was attached. */
enum via { VIA_FENTRY, VIA_FEXIT, VIA_FMOD_RET, VIA_COUNT };

/* 12 bytes, so that the rounding of per-CPU values to 16 matters. */
struct elem_value {
	__u32 a;
	__u32 b;
	__u32 c;
};

/* One run of a program on a hook. */
struct event {
	__u32 hook;
	__u32 via;
	__u32 map_id;
	__u32 key;
	__u64 map_flags;
	__u32 n_values;				/* read from `value` of the hook */
	struct elem_value values[MAX_CPUS];
	__u32 found;				/* did a lookup find the element? */
	struct elem_value old[MAX_CPUS];	/* what it found */
	__s64 elem_count;			/* elements in the map */
};

/* Arguments and result of the programs that change the map. */
struct op {
	__u32 key;
	struct elem_value value;
	__u64 flags;
	__s64 result;
};

#endif /* RECORDER_H */
