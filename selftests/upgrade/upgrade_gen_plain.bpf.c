// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_gen.c as far as it was written by hand. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define new_key key
#define new_value value
#define new_part part
#define new_state state
#define NEW_IDLE IDLE
#define NEW_BUSY BUSY
#include "upgrade_gen.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, struct key);
	__type(value, struct value);
} flows_by_address SEC(".maps");
