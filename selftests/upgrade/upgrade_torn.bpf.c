// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts the first update of an element halfway, until the second one is over.
 * Not a perf_event program: these are skipped while a system call changes a map.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_torn.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct torn_value);
} torn_map SEC(".maps");

volatile int armed, halfway;

/* The kernel may copy in either direction, so look at both ends. */
static bool ends_are(volatile struct torn_value *value, char first, char last)
{
	return value->byte[0] == first && value->byte[TORN_SIZE - 1] == last;
}

/* Until all of the second update's bytes are there, though its system call may go on. */
static long wait(__u64 i, struct torn_value **value)
{
	return ends_are(*value, TORN_SECOND, TORN_SECOND);
}

static long wait_more(__u64 i, struct torn_value **value)
{
	bpf_loop(1 << 23, wait, value, 0);
	return ends_are(*value, TORN_SECOND, TORN_SECOND);
}

/* Runs in the timer interrupt. */
SEC("fentry/update_process_times")
int BPF_PROG(tick)
{
	__u32 zero = 0;
	struct torn_value *value = bpf_map_lookup_elem(&torn_map, &zero);

	if (!armed || bpf_get_smp_processor_id() || !value ||
	    !(ends_are(value, TORN_FIRST, 0) || ends_are(value, 0, TORN_FIRST)))
		return 0;
	halfway = 1;
	bpf_loop(16, wait_more, &value, 0);
	return 0;
}
