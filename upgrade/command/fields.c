// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* The fields of a struct, as C finds them by name: also in members without a name. */
#include <string.h>
#include "command.h"

/* What to call a union without a name: by a member that is as large. */
static const char *union_name(const struct btf *btf, const struct btf_type *t)
{
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const char *name = btf__name_by_offset(btf, m->name_off);

		if (*name && !btf_member_bitfield_size(t, i) &&
		    btf__resolve_size(btf, m->type) == t->size)
			return name;
	}
	return NULL;
}

static void add(const struct btf *btf, const struct btf_type *t, __u32 at, struct fields *fields)
{
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const struct btf_type *type = type_resolve(btf, m->type, NULL);
		struct field field = {
			.name = btf__name_by_offset(btf, m->name_off),
			.type = m->type,
			.bit = at + btf_member_bit_offset(t, i),
			.bits = btf_member_bitfield_size(t, i),
		};

		if (!*field.name && btf_is_struct(type)) {
			add(btf, type, field.bit, fields);
			continue;
		}
		if (!*field.name && btf_is_union(type)) {
			field.is_union = true;
			field.name = union_name(btf, type);
			if (!field.name)
				fields->unnamed = "a union without a name has no member of its size";
		}
		if (fields->count == MAX_FIELDS)
			fields->unnamed = "there are too many fields";
		else if (field.name && *field.name)
			fields->field[fields->count++] = field;
	}
}

void fields_of(const struct btf *btf, __u32 id, struct fields *fields)
{
	fields->count = 0;
	fields->unnamed = NULL;
	add(btf, type_resolve(btf, id, NULL), 0, fields);
}

const struct field *fields_find(const struct fields *fields, const char *name)
{
	for (int i = 0; i < fields->count; i++)
		if (!strcmp(fields->field[i].name, name))
			return fields->field + i;
	return NULL;
}

static bool has_member(const struct btf *btf, const struct btf_type *t, const char *name)
{
	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const struct btf_type *type = type_resolve(btf, m->type, NULL);
		const char *its = btf__name_by_offset(btf, m->name_off);

		if (*its ? !strcmp(its, name) :
			   btf_is_composite(type) && has_member(btf, type, name))
			return true;
	}
	return false;
}

bool fields_in_union(const struct btf *btf, const struct fields *fields, const char *name)
{
	for (int i = 0; i < fields->count; i++)
		if (fields->field[i].is_union &&
		    has_member(btf, type_resolve(btf, fields->field[i].type, NULL), name))
			return true;
	return false;
}
