// SPDX-License-Identifier: GPL-2.0-only
/* A map of any kind that calls the hooks, and a program that changes it. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "stress_attach.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOAD_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} changed SEC(".maps");

const volatile bool array;
__u64 changes, failed;	/* of this program */

SEC("syscall")
int change(void *ctx)
{
	__u64 value = 1;

	for (int i = 0; i < LOAD_KEYS; i++) {
		__u32 key = i;

		if (bpf_map_update_elem(&changed, &key, &value, BPF_ANY))
			__sync_fetch_and_add(&failed, 1);
		if (!array)	/* another CPU may have been faster */
			bpf_map_delete_elem(&changed, &key);
		__sync_fetch_and_add(&changes, 1);
	}
	return 0;
}
