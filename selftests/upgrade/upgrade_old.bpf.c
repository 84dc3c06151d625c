// SPDX-License-Identifier: GPL-2.0-only
/* The version to be replaced; it knows nothing of upgrades. */
#include "upgrade_event.bpf.h"

static long old_op(__u32 i, struct load_request **request)
{
	struct load_request *r = *request;
	struct old_value value, *found;
	struct load_op *op;
	__u32 key;
	long err;

	if (i >= LOAD_OPS)
		return 1;
	op = &r->op[i];
	key = op->key;
	if (op->kind == LOAD_READ) {
		found = bpf_map_lookup_elem(&old_map, &key);
		err = found ? (long)found->stamp : -ENOENT;
	} else if (op->kind == LOAD_DELETE) {
		err = bpf_map_delete_elem(&old_map, &key);
	} else {
		value.stamp = op->stamp;
		err = bpf_map_update_elem(&old_map, &key, &value, op->flags);
	}
	r->result[LOAD_OLD][i] = err;
	return 0;
}

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(old_event, const struct pt_regs *regs)
{
	return run_request(regs, old_op);
}

static long nothing(__u32 i, void *ctx)
{
	return 0;
}

/* Once in a while, let a lot of time pass between a report and its change. */
static __always_inline void dawdle(struct bpf_map *map)
{
	if (map == (struct bpf_map *)&old_map && bpf_get_prandom_u32() % 128 == 0)
		bpf_loop(LOAD_DAWDLE, nothing, NULL, 0);
}

SEC("fentry/bpf_map_trace_update_elem")
int BPF_PROG(dawdle_update, struct bpf_map *map)
{
	dawdle(map);
	return 0;
}

SEC("fentry/bpf_map_trace_delete_elem")
int BPF_PROG(dawdle_delete, struct bpf_map *map)
{
	dawdle(map);
	return 0;
}
