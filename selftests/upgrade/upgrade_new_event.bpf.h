/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the new version does on an event. To be included after the library, or
 * after stand-ins for its functions.
 */
#ifndef UPGRADE_NEW_EVENT_BPF_H
#define UPGRADE_NEW_EVENT_BPF_H

static __always_inline long new_op(const struct load_op *op)
{
	struct new_value value = { op->stamp, LOAD_CHECK(op->stamp) }, *found;
	__u32 key = op->key + LOAD_SHIFT;
	long err, stamp;

	if (op->kind == LOAD_READ) {
		err = upgrade_before_read(&key);
		if (err)
			return err;
		found = bpf_map_lookup_elem(&new_map, &key);
		stamp = found ? found->stamp : 0;
		return found && is_still_at(&new_map, &key, found) ? stamp : -ENOENT;
	}
	if (op->kind == LOAD_DELETE)
		return upgrade_delete_elem(&key);
	if (op->flags == BPF_ANY && (op->stamp & 1))
		return upgrade_before_write(&key) ?:
		       bpf_map_update_elem(&new_map, &key, &value, BPF_ANY);
	return upgrade_update_elem(&key, &value, op->flags);
}

EVENT(new, LOAD_NEW, upgrade_active())

#endif /* UPGRADE_NEW_EVENT_BPF_H */
