// SPDX-License-Identifier: GPL-2.0-only
/* Programs that change a map from a hook, each within the run of the one before. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} traced SEC(".maps");

const volatile bool array;
int tid;		/* only what this thread does counts */
__u32 depth, deepest;	/* runs within one another: now, and at most */
long last_error;	/* of the change that the deepest run made */

/* Only ever go down: if each level ran all the others, n programs ran n! times. */
static __always_inline void nest(bool update)
{
	__u64 value = 1;
	__u32 key = 1;
	long err;

	if ((int)bpf_get_current_pid_tgid() != tid)
		return;
	depth++;
	if (depth > deepest) {
		deepest = depth;
		err = update ? bpf_map_update_elem(&traced, &key, &value, BPF_ANY) :
			       bpf_map_delete_elem(&traced, &key);
		if (depth == deepest)
			last_error = err;
	}
	depth--;
}

/* Back and forth between the hooks; nobody can delete from an array. */
SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(on_update, struct bpf_map *map)
{
	nest(array);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(on_delete, struct bpf_map *map)
{
	nest(true);
	return 0;
}

/* Only loaded without the others. */
SEC("?fentry/bpf_map_trace_updated")
int BPF_PROG(on_updated, struct bpf_map *map)
{
	nest(true);
	return 0;
}
