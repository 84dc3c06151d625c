// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Types in BTF. */
#include <string.h>
#include "command.h"

const struct btf_type *type_resolve(const struct btf *btf, __u32 id, __u32 *to)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t))) {
		id = t->type;
		t = btf__type_by_id(btf, id);
	}
	if (to)
		*to = id;
	return t;
}

static const char *kind_name(const struct btf_type *t)
{
	return btf_is_struct(t) || (btf_is_fwd(t) && !btf_kflag(t)) ? "struct" :
	       btf_is_union(t) || btf_is_fwd(t) ? "union" :
	       btf_is_any_enum(t) ? "enum" : "";
}

const char *type_name(const struct btf *btf, __u32 id, char text[TEXT])
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	char dimensions[64] = "", inner[TEXT];
	const char *name, *kind;
	size_t len = 0;

	while (btf_is_array(t) || btf_is_const(t) || btf_is_volatile(t)) {
		if (btf_is_array(t) && len < sizeof(dimensions) - 16)
			len += sprintf(dimensions + len, "[%u]", btf_array(t)->nelems);
		id = btf_is_array(t) ? btf_array(t)->type : t->type;
		t = btf__type_by_id(btf, id);
	}
	name = btf__name_by_offset(btf, t->name_off);
	kind = kind_name(t);
	if (btf_is_ptr(t) || btf_is_type_tag(t))
		snprintf(text, TEXT, "%.400s%s%s", t->type ? type_name(btf, t->type, inner) : "void",
			 btf_is_ptr(t) ? " *" : "", dimensions);
	else
		snprintf(text, TEXT, "%s%s%.400s%s", kind, *kind ? " " : "",
			 *name ? name : "{...}", dimensions);
	return text;
}

/* Something that C assigns by value. */
bool type_is_number(const struct btf_type *t)
{
	return (btf_is_int(t) || btf_is_any_enum(t)) && t->size <= 8;
}

bool type_is_signed(const struct btf_type *t)
{
	return btf_is_int(t) ? btf_int_encoding(t) & BTF_INT_SIGNED : btf_kflag(t);
}

static __s64 enumerator(const struct btf_type *t, int i)
{
	return btf_is_enum64(t) ? (__s64)btf_enum64_value(btf_enum64(t) + i) : btf_enum(t)[i].val;
}

static const char *enumerator_name(const struct btf *btf, const struct btf_type *t, int i)
{
	return btf__name_by_offset(btf, btf_is_enum64(t) ? btf_enum64(t)[i].name_off :
							   btf_enum(t)[i].name_off);
}

bool type_same_names(const struct btf *a, const struct btf_type *x, const struct btf *b,
		     const struct btf_type *y)
{
	for (int i = 0; i < btf_vlen(x); i++) {
		bool found = false;

		for (int j = 0; j < btf_vlen(y) && !found; j++)
			found = !strcmp(enumerator_name(a, x, i), enumerator_name(b, y, j)) &&
				enumerator(x, i) == enumerator(y, j);
		if (!found)
			return false;
	}
	return true;
}

static bool same_members(const struct btf *a, const struct btf_type *x, const struct btf *b,
			 const struct btf_type *y)
{
	const struct btf_member *m = btf_members(x), *n = btf_members(y);

	if (btf_vlen(x) != btf_vlen(y))
		return false;
	for (int i = 0; i < btf_vlen(x); i++)
		if (strcmp(btf__name_by_offset(a, m[i].name_off),
			   btf__name_by_offset(b, n[i].name_off)) ||
		    btf_member_bit_offset(x, i) != btf_member_bit_offset(y, i) ||
		    btf_member_bitfield_size(x, i) != btf_member_bitfield_size(y, i) ||
		    !type_same(a, m[i].type, b, n[i].type))
			return false;
	return true;
}

bool type_same(const struct btf *a, __u32 x, const struct btf *b, __u32 y)
{
	const struct btf_type *t = type_resolve(a, x, NULL), *u = type_resolve(b, y, NULL);

	if (btf_kind(t) != btf_kind(u))
		return false;
	if (btf_is_ptr(t))
		return true;
	if (btf_is_array(t))
		return btf_array(t)->nelems == btf_array(u)->nelems &&
		       type_same(a, btf_array(t)->type, b, btf_array(u)->type);
	if (t->size != u->size)
		return false;
	if (btf_is_int(t))
		return btf_int_encoding(t) == btf_int_encoding(u);
	if (btf_is_any_enum(t))
		return type_is_signed(t) == type_is_signed(u) && type_same_names(a, t, b, u);
	return btf_is_composite(t) ? same_members(a, t, b, u) : btf_is_float(t);
}
