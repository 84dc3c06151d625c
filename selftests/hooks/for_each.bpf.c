// SPDX-License-Identifier: GPL-2.0-only
/* Programs that change the traced map from the callback of bpf_for_each_map_elem(). */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "target.bpf.h"	/* its map is the recorder's, which the test has it reuse */

char LICENSE[] SEC("license") = "GPL";

/* The callback passes on a key that lies in the element itself. */
static long update_one(struct bpf_map *map, __u32 *key,
		       struct elem_value *value, struct op *op)
{
	struct elem_value new = op->value;

	if (*key == op->key)
		op->result = bpf_map_update_elem(map, key, &new, op->flags);
	return 0;
}

static long delete_one(struct bpf_map *map, __u32 *key,
		       struct elem_value *value, struct op *op)
{
	if (*key == op->key)
		op->result = bpf_map_delete_elem(map, key);
	return 0;
}

SEC("syscall")
int for_each_update(struct op *op)
{
	struct op local = *op;

	bpf_for_each_map_elem(&target, update_one, &local, 0);
	op->result = local.result;
	return 0;
}

SEC("syscall")
int for_each_delete(struct op *op)
{
	struct op local = *op;

	bpf_for_each_map_elem(&target, delete_one, &local, 0);
	op->result = local.result;
	return 0;
}
