/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the new version does on an event. To be included after the library, or
 * after stand-ins for its functions.
 */
#ifndef UPGRADE_NEW_EVENT_BPF_H
#define UPGRADE_NEW_EVENT_BPF_H

static long new_op(__u32 i, struct load_request **request)
{
	struct load_request *r = *request;
	struct new_value value, *found;
	struct load_op *op;
	__u32 key;
	long err;

	if (i >= LOAD_OPS)
		return 1;
	op = &r->op[i];
	key = op->key + LOAD_SHIFT;
	value.stamp = op->stamp;
	value.check = LOAD_CHECK(op->stamp);
	if (op->kind == LOAD_READ) {
		upgrade_before_read(&key);
		found = bpf_map_lookup_elem(&new_map, &key);
		err = found ? (long)found->stamp : -ENOENT;
	} else if (op->kind == LOAD_DELETE) {
		err = upgrade_delete_elem(&key);
	} else if (op->flags == BPF_ANY && (op->stamp & 1)) {
		upgrade_before_write(&key);
		err = bpf_map_update_elem(&new_map, &key, &value, BPF_ANY);
	} else {
		err = upgrade_update_elem(&key, &value, op->flags);
	}
	r->result[LOAD_NEW][i] = err;
	return 0;
}

SEC("fentry/__x64_sys_getpgid")
int BPF_PROG(new_event, const struct pt_regs *regs)
{
	return upgrade_active() ? run_request(regs, new_op) : 0;
}

#endif /* UPGRADE_NEW_EVENT_BPF_H */
