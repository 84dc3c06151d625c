// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_gen.c as far as it was written by hand. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define new_key gen_key
#define new_value gen_value
#define new_part gen_part
#define new_state gen_state
#define NEW_IDLE IDLE
#define NEW_BUSY BUSY
#include "upgrade_gen.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct gen_key);
	__type(value, struct gen_value);
} flows_by_address SEC(".maps");
