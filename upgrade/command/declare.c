// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Types of the old version, declared in C. */
#include <string.h>
#include "parts.h"
#include "command.h"

/* What is declared so far of a struct. */
struct body {
	__u32 end;		/* in bytes */
	__u32 align;
	bool packed;
};

static unsigned int pads;	/* in the type: members of structs without a name share names */

static __u32 round_up(__u32 n, __u32 align)
{
	return (n + align - 1) / align * align;
}

/* Would C put a member, or the end, somewhere else? */
static bool is_packed(const struct btf *btf, __u32 id, const struct btf_type *t)
{
	if (t->size % btf__align_of(btf, id))
		return true;
	for (int i = 0; i < btf_vlen(t); i++)
		if (!btf_member_bitfield_size(t, i) &&
		    btf_member_bit_offset(t, i) / 8 % btf__align_of(btf, btf_members(t)[i].type))
			return true;
	return false;
}

/* Reach an offset at which C would not put something that is aligned like this. */
static void pad(FILE *out, struct body *body, __u32 offset, __u32 align, int depth)
{
	if (round_up(body->end, body->packed ? 1 : align) != offset)
		fprintf(out, "%.*s__u8 upgrade_pad_%u[%u];\n", TABS(depth), pads++,
			offset - body->end);
	body->end = offset;
}

/* Bit fields are left out, and so become padding: they are copied with the struct. */
static bool declare_members(FILE *out, const struct btf *btf, __u32 id, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	struct body body = { .align = 1, .packed = is_packed(btf, id, t) };
	__u32 align;

	for (int i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;

		if (btf_member_bitfield_size(t, i))
			continue;
		align = btf__align_of(btf, m->type);
		if (btf_is_struct(t))
			pad(out, &body, btf_member_bit_offset(t, i) / 8, align, depth);
		body.align = align > body.align ? align : body.align;
		if (!declare(out, btf, m->type, btf__name_by_offset(btf, m->name_off), depth))
			return false;
		if (btf_is_struct(t))
			body.end += btf__resolve_size(btf, m->type);
		else
			body.end = t->size;
	}
	pad(out, &body, t->size, body.align, depth);
	fprintf(out, "%.*s}", TABS(depth - 1));
	align = btf__align_of(btf, id);
	if (body.packed)
		fprintf(out, " __attribute__((packed))");
	else if (align != body.align)	/* that of a bit field */
		fprintf(out, " __attribute__((aligned(%u)))", align);
	return true;
}

static void declare_number(FILE *out, const struct btf *btf, const struct btf_type *t)
{
	if (btf_is_int(t) && !strcmp(btf__name_by_offset(btf, t->name_off), "char"))
		fprintf(out, "char");
	else if (btf_is_int(t) && t->size == 16)
		fprintf(out, "%s__int128", type_is_signed(t) ? "" : "unsigned ");
	else if (btf_is_int(t) && (btf_int_encoding(t) & BTF_INT_BOOL))
		fprintf(out, "_Bool");
	else
		fprintf(out, "__%c%u", type_is_signed(t) ? 's' : 'u', t->size * 8);
}

bool declare(FILE *out, const struct btf *btf, __u32 id, const char *name, int depth)
{
	const struct btf_type *t = type_resolve(btf, id, &id);
	char dimensions[64] = "";
	size_t len = 0;

	while (btf_is_array(t)) {
		if (len < sizeof(dimensions) - 16)
			len += sprintf(dimensions + len, "[%u]", btf_array(t)->nelems);
		t = type_resolve(btf, btf_array(t)->type, &id);
	}
	fprintf(out, "%.*s", TABS(depth));
	if (btf_is_ptr(t)) {
		if (special_type(btf, t))
			return false;
		fprintf(out, "void *%s%s;\n", name, dimensions);
		return true;
	}
	if (btf_is_composite(t) && !special_type(btf, t)) {
		fprintf(out, "%s {\n", btf_is_struct(t) ? "struct" : "union");
		if (!declare_members(out, btf, id, depth + 1))
			return false;
	} else if (btf_is_composite(t)) {
		fprintf(out, "struct %s", btf__name_by_offset(btf, t->name_off));
	} else {
		declare_number(out, btf, t);
	}
	fprintf(out, "%s%s%s;\n", *name ? " " : "", name, dimensions);
	return true;
}

const char *declared_kind(const struct btf *btf, __u32 id)
{
	return btf_is_struct(type_resolve(btf, id, NULL)) ? "struct " : "";
}

bool declare_type(FILE *out, const struct btf *btf, __u32 id, const char *name)
{
	const struct btf_type *t = type_resolve(btf, id, &id);

	pads = 0;
	if (btf_is_struct(t)) {
		fprintf(out, "struct %s {\n", name);
		if (!declare_members(out, btf, id, 1))
			return false;
		fprintf(out, ";\n");
		return true;
	}
	fprintf(out, "typedef ");
	return declare(out, btf, id, name, 0);
}
