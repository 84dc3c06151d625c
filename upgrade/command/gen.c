// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* bpf-upgrade gen: what the new version's program needs of the old one, as C. */
#include "command.h"

/* The name of a type of the new version, as the program can use it. */
static const char *new_name(const struct side *new, __u32 id, const char *what, char text[TEXT])
{
	const struct btf_type *t = btf__type_by_id(new->btf, id);

	if (t->name_off && !btf_is_type_tag(t))
		return type_name(new->btf, id, text);
	snprintf(text, TEXT, "typeof(*%s.%s)", new->name, what);
	return text;
}

static void print_map(const struct side *old, const struct side *new)
{
	char key[TEXT], value[TEXT];
	const char *key_kind = declared_kind(old->btf, old->key);
	const char *value_kind = declared_kind(old->btf, old->value);

	printf("\n_Static_assert(sizeof(%supgrade_old_key) == %u, \"layout of the old key\");\n",
	       key_kind, old->key_size);
	printf("_Static_assert(sizeof(%supgrade_old_value) == %u, \"layout of the old value\");\n",
	       value_kind, old->value_size);
	printf("\n/* Replaced by the running map. */\nstruct {\n");
	printf("\t__uint(type, BPF_MAP_TYPE_%s);\n\t__uint(max_entries, 1);\n", side_type(old));
	printf("\t__type(key, %supgrade_old_key);\n", key_kind);
	printf("\t__type(value, %supgrade_old_value);\n} upgrade_old_map SEC(\".maps\");\n\n",
	       value_kind);
	printf("#define UPGRADE_OLD_MAP upgrade_old_map\n#define UPGRADE_NEW_MAP %s\n", new->name);
	printf("#define UPGRADE_OLD_KEY %supgrade_old_key\n", key_kind);
	printf("#define UPGRADE_OLD_VALUE %supgrade_old_value\n", value_kind);
	printf("#define UPGRADE_NEW_KEY %s\n", new_name(new, new->key, "key", key));
	printf("#define UPGRADE_NEW_VALUE %s\n", new_name(new, new->value, "value", value));
}

static void print_function(const char *name, const char *body)
{
	printf("\nstatic __always_inline void\n%s\n{\n%s}\n", name, body);
}

static void print_all(const struct side *old, const struct side *new, const char *from,
		      const char *to, char *const text[PARTS])
{
	printf("/*\n * Made by bpf-upgrade gen from %s and %s.\n", from, to);
	printf(" * Yours to change. Include it after the map %s and before the programs, which\n"
	       " * have to ask upgrade_active() and to announce what they do: see upgrade.bpf.h.\n",
	       new->name);
	printf(" */\n\n%s", text[TYPES]);
	print_map(old, new);
	print_function("upgrade_convert_key(const UPGRADE_OLD_KEY *old, UPGRADE_NEW_KEY *new)",
		       text[KEY]);
	print_function("upgrade_revert_key(const UPGRADE_NEW_KEY *new, UPGRADE_OLD_KEY *old)",
		       text[KEY_BACK]);
	print_function("upgrade_convert_value(const UPGRADE_OLD_VALUE *old, UPGRADE_NEW_VALUE *new)",
		       text[VALUE]);
	printf("\n#include <bpf-upgrade/upgrade.bpf.h>\n");
}

static int generate(const struct side *old, const struct side *new, const char *from,
		    const char *to)
{
	struct comparison comparison;
	bool ok;

	if (!side_has_types(old))
		return fail("the map %s has no types: give the object that it was loaded from instead",
			    from);
	if (!side_has_types(new))
		return fail("the map %s in %s has no types: declare it with __type(key, ...) and __type(value, ...)",
			    new->name, to);
	if (!side_type(old) || !side_type(new))
		return fail("%s: maps of type %u are not supported",
			    side_type(old) ? to : from, side_type(old) ? new->type : old->type);
	ok = compare(old, new, &comparison);
	if (ok)
		print_all(old, new, from, to, comparison.text);
	comparison_free(&comparison);
	return ok ? 0 : fail("%s; write the conversion by hand, see upgrade.bpf.h",
			     comparison.error);
}

/* OLD NEW.o [MAP [OLD_MAP]] */
int gen(int argc, char **argv)
{
	const char *map = argc > 2 ? argv[2] : NULL, *old_map = argc > 3 ? argv[3] : map;
	struct side old, new = { .fd = -1 };
	struct bpf_object *obj = NULL;
	int err;

	err = side_open(&old, argv[0], old_map);
	if (!err) {
		obj = open_object(argv[1]);
		err = !obj;
	}
	if (!err && !map) {
		map = side_find(obj, &old);
		if (!map)
			err = fail("%s has no map %s: name the one that it becomes", argv[1], old.name);
	}
	if (!err)
		err = side_of_object(&new, obj, argv[1], map);
	if (!err)
		err = generate(&old, &new, argv[0], argv[1]);
	side_close(&old);
	bpf_object__close(obj);
	return err;
}
