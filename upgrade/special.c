// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Fields of a map's value that only the kernel touches: found by their BTF types. */
#include <string.h>
#include <bpf/btf.h>
#include "parts.h"

/* These start at zero in a new element, whatever is copied into it. */
static const char *const special_types[] = {
	"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq", "bpf_list_head",
	"bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_refcount", "bpf_task_work",
};

bool special_type(const struct btf *btf, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(btf, t->name_off);

	/* A pointer with a tag, such as kptr, belongs to the kernel as well. */
	if (btf_is_ptr(t))
		return btf_is_type_tag(btf__type_by_id(btf, t->type));
	for (size_t i = 0; i < sizeof(special_types) / sizeof(*special_types); i++)
		if (btf_is_struct(t) && !strcmp(name, special_types[i]))
			return true;
	return false;
}

static const struct btf_type *resolve(const struct btf *btf, __u32 *id)
{
	const struct btf_type *t = btf__type_by_id(btf, *id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t) || btf_is_type_tag(t))) {
		*id = t->type;
		t = btf__type_by_id(btf, *id);
	}
	return t;
}

int special_find(const struct btf *btf, __u32 id, __u32 offset,
		 struct upgrade_field *special, int count)
{
	const struct btf_type *t = resolve(btf, &id);
	__u32 element;

	if (!t || count < 0)
		return count;
	if (special_type(btf, t)) {
		if (count == UPGRADE_MAX_SPECIAL)
			return -1;
		special[count++] = (struct upgrade_field){ offset, btf__resolve_size(btf, id) };
		return count;
	}
	if (btf_is_array(t)) {
		element = btf_array(t)->type;
		for (__u32 i = 0; i < btf_array(t)->nelems; i++) {
			__u32 at = offset + i * btf__resolve_size(btf, element);
			int more = special_find(btf, element, at, special, count);

			if (more == count)	/* nor are there any in the others */
				break;
			count = more;
		}
	}
	for (int i = 0; btf_is_composite(t) && i < btf_vlen(t); i++)
		count = special_find(btf, btf_members(t)[i].type,
				     offset + btf_member_bit_offset(t, i) / 8, special, count);
	return count;
}
