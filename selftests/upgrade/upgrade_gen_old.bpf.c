// SPDX-License-Identifier: GPL-2.0-only
/* The old version of upgrade_gen.c, which has never heard of the library. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* Not the names of types of the kernel: clang would relocate their fields. */
#define old_key gen_key
#define old_value gen_value
#define old_part gen_part
#define old_state gen_state
#define OLD_IDLE IDLE
#define OLD_BUSY BUSY
#include "upgrade_gen.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct gen_key);
	__type(value, struct gen_value);
} flows_by_address SEC(".maps");

/* For pins of something else than a map. */
SEC("fentry/__x64_sys_getpgid")
int idle(void *ctx)
{
	return 0;
}

SEC("fexit/__x64_sys_getpgid")
int late(void *ctx)
{
	return 0;
}
