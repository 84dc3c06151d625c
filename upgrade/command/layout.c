// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* How the old layout of a key or a value becomes the new one, field by field. */
#include <stdarg.h>
#include <string.h>
#include "command.h"

static bool convert(struct layout *l, __u32 old, __u32 new, const struct place *at);

static const char *shown(const struct layout *l, const struct place *at)
{
	return *at->path == '.' ? at->path + 1 : *at->path ? at->path : l->what;
}

static bool __attribute__((format(printf, 3, 4)))
refuse(struct layout *l, const struct place *at, const char *format, ...)
{
	char why[TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(l->error, sizeof(l->error), "%s%s%.256s: %s", l->what, *at->path ? " field " : "",
		 *at->path ? shown(l, at) : "", why);
	return false;
}

static bool refuse_change(struct layout *l, const struct place *at, __u32 old, __u32 new,
			  const char *why)
{
	char from[TEXT], to[TEXT];

	return refuse(l, at, "%.128s cannot become %.128s: %s", type_name(l->old, old, from),
		      type_name(l->new, new, to), why);
}

static bool convert_number(struct layout *l, __u32 old, __u32 new, const struct place *at)
{
	const struct btf_type *from = type_resolve(l->old, old, NULL);
	const struct btf_type *to = type_resolve(l->new, new, NULL);
	bool is_bool = btf_is_int(to) && (btf_int_encoding(to) & BTF_INT_BOOL);
	bool was_bool = btf_is_int(from) && (btf_int_encoding(from) & BTF_INT_BOOL);

	if (to->size < from->size || is_bool != (is_bool && was_bool))
		return refuse_change(l, at, old, new, "it is narrower, so numbers may not fit");
	if (type_is_signed(from) && !type_is_signed(to))
		return refuse_change(l, at, old, new, "negative numbers would become large ones");
	if (!type_is_signed(from) && type_is_signed(to) && to->size == from->size)
		return refuse_change(l, at, old, new, "large numbers would become negative ones");
	if (btf_is_any_enum(from) && btf_is_any_enum(to) &&
	    !type_same_names(l->old, from, l->new, to))
		return refuse_change(l, at, old, new, "its names have other values, or are gone");
	print_assignment(l, at);
	return true;
}

static bool convert_array(struct layout *l, __u32 old, __u32 new, const struct place *at)
{
	const struct btf_array *from = btf_array(type_resolve(l->old, old, NULL));
	const struct btf_array *to = btf_array(type_resolve(l->new, new, NULL));
	struct place element = *at;
	bool ok;

	if (to->nelems < from->nelems)
		return refuse_change(l, at, old, new, "elements would be lost");
	if (type_same(l->old, from->type, l->new, to->type)) {
		print_copy(l, at);
		return true;
	}
	snprintf(element.path, TEXT, "%.480s[i%d]", at->path, at->loops);
	print_loop(l, at, from->nelems);
	element.loops++;
	ok = convert(l, from->type, to->type, &element);
	print_end(l, at);
	return ok;
}

static bool convert_field(struct layout *l, const struct field *from, const struct field *to,
			  const struct place *at)
{
	if (type_same(l->old, from->type, l->new, to->type) && !from->bits && !to->bits &&
	    from->is_union == to->is_union)
		return convert(l, from->type, to->type, at);
	if (from->bits || to->bits)
		return refuse_change(l, at, from->type, to->type,
			      "bit fields are only copied with a struct that is unchanged");
	if (from->is_union || to->is_union)
		return refuse_change(l, at, from->type, to->type,
			      "it is not known which member is in use");
	return convert(l, from->type, to->type, at);
}

static bool drop_field(struct layout *l, const struct field *field, const struct fields *to,
		       const struct place *at)
{
	char name[TEXT];

	type_name(l->old, field->type, name);
	if (fields_in_union(l->new, to, field->name))
		return refuse(l, at, "%.128s cannot move into a union", name);
	if (l->is_key)
		return refuse(l, at, "%.128s cannot be dropped: two keys could become the same",
			      name);
	fprintf(l->changes, "- %s %s\n", name, shown(l, at));
	return true;
}

static bool convert_struct(struct layout *l, __u32 old, __u32 new, const struct place *at)
{
	struct fields from, to;
	struct place place = *at;
	char name[TEXT];

	fields_of(l->old, old, &from);
	fields_of(l->new, new, &to);
	if (from.unnamed || to.unnamed)
		return refuse_change(l, at, old, new, from.unnamed ?: to.unnamed);
	for (int i = 0; i < from.count; i++) {
		const struct field *field = fields_find(&to, from.field[i].name);

		snprintf(place.path, TEXT, "%.400s.%.100s", at->path, from.field[i].name);
		if (field ? !convert_field(l, &from.field[i], field, &place) :
			    !drop_field(l, &from.field[i], &to, &place))
			return false;
	}
	for (int i = 0; i < to.count; i++) {
		snprintf(place.path, TEXT, "%.400s.%.100s", at->path, to.field[i].name);
		if (fields_find(&from, to.field[i].name))
			continue;
		type_name(l->new, to.field[i].type, name);
		if (fields_in_union(l->old, &from, to.field[i].name))
			return refuse(l, &place, "%.128s cannot move out of a union", name);
		fprintf(l->changes, "+ %s %s\n", name, shown(l, &place));
	}
	return true;
}

static bool convert(struct layout *l, __u32 old, __u32 new, const struct place *at)
{
	const struct btf_type *from = type_resolve(l->old, old, NULL);
	const struct btf_type *to = type_resolve(l->new, new, NULL);
	char was[TEXT], is[TEXT];

	if (type_is_number(from) && type_is_number(to)) {
		if (!type_same(l->old, old, l->new, new))
			fprintf(l->changes, "~ %s: %s -> %s\n", shown(l, at),
				type_name(l->old, old, was), type_name(l->new, new, is));
		return convert_number(l, old, new, at);
	}
	if (type_same(l->old, old, l->new, new)) {
		print_copy(l, at);
		return true;
	}
	if (btf_is_array(from) && btf_is_array(to)) {
		fprintf(l->changes, "~ %s: %s -> %s\n", shown(l, at), type_name(l->old, old, was),
			type_name(l->new, new, is));
		return convert_array(l, old, new, at);
	}
	if (btf_is_struct(from) && btf_is_struct(to))
		return convert_struct(l, old, new, at);
	if (btf_is_union(from) || btf_is_union(to))
		return refuse_change(l, at, old, new, "it is not known which member is in use");
	return refuse_change(l, at, old, new, "there is no obvious conversion");
}

bool layout_compare(struct layout *l, __u32 old, __u32 new)
{
	struct place at = {};
	long before = ftell(l->changes);

	if (!convert(l, old, new, &at))
		return false;
	if (ftell(l->changes) == before && !type_same(l->old, old, l->new, new))
		fprintf(l->changes, "~ fields are in other places\n");
	return true;
}
