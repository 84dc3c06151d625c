/* SPDX-License-Identifier: GPL-2.0-only */
/* What after.bpf.c and the tests share. */
#ifndef AFTER_H
#define AFTER_H

#include "recorder.h"

#define ANOTHER_KEY 300

enum after_hook { HOOK_UPDATED, HOOK_DELETED };

/* One run of a program on an after-hook. */
struct after_event {
	__u32 hook;
	__u32 key;
	__u64 map_flags;
	__u32 n_values;				/* read from `value` of the hook */
	struct elem_value values[MAX_CPUS];
	struct elem_value here;			/* of a deletion: the value of this CPU */
	__u32 found;				/* did a lookup find the element? */
	struct elem_value now[MAX_CPUS];	/* what it found */
	__s64 again;				/* result of a change within the program */
};

#endif /* AFTER_H */
