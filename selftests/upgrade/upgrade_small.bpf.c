// SPDX-License-Identifier: GPL-2.0-only
/* A new version that does what a test tells it to, when it is told to. */
#include "upgrade_widen.bpf.h"

static long change(const struct wide_op *op, const struct wide_key *key, __u64 value)
{
	if (op->kind == WIDE_UPDATE)
		return upgrade_update_elem(key, &value, BPF_ANY);
	if (op->kind == WIDE_DELETE)
		return upgrade_delete_elem(key);
	return upgrade_before_write(key) ?: bpf_map_update_elem(&new_map, key, &value, BPF_ANY);
}

SEC("syscall")
int new_op(struct wide_op *op)
{
	struct wide_key key = op->key;
	__u64 *found;

	upgrade_before_read(&key);
	found = bpf_map_lookup_elem(&new_map, &key);
	op->found = found ? *found : 0;
	op->result = op->kind == WIDE_READ ? 0 : change(op, &key, op->value);
	return 0;
}

/* For a test that needs a program to be attached. */
SEC("?fentry/__x64_sys_getpgid")
int idle(void *ctx)
{
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} nested_map SEC(".maps");

__u32 nests;

/* Once it is told so, it has the kernel skip a run of it. */
SEC("?fentry/array_map_update_elem")
int nested(void *ctx)
{
	__u32 zero = 0;

	if (nests) {
		nests = 0;
		bpf_map_update_elem(&nested_map, &zero, &zero, BPF_ANY);
	}
	return 0;
}

SEC("?perf_event")
int sampler(void *ctx)
{
	return 0;
}

/* The library's grace periods do not wait for sleepable programs. */
SEC("?fentry.s/__x64_sys_getpgid")
int sleeper(void *ctx)
{
	return upgrade_active();
}
