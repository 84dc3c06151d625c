/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What the parts of the command bpf-upgrade share. */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdio.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#define TEXT 512		/* a path, an expression, a reason */

/* For "%.*s". */
#define TABS(n) (n), "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"

/* The command itself: what it prints goes to stdout, errors to stderr. An exit status. */
int command(int argc, char **argv);

/* command.c: print an error, in one line; returns 1. */
int __attribute__((format(printf, 1, 2))) fail(const char *format, ...);
/* What libbpf warned of last, or what errno means; forgets the warning. */
const char *reason(void);
/* Open an object without loading it; NULL: failed, and said so. */
struct bpf_object *open_object(const char *path);

/* A map, with the types of its keys and values. */
struct side {
	struct bpf_object *obj;	/* NULL: it is pinned */
	const struct btf *btf;
	struct btf *pinned_btf;
	int fd;			/* -1: it is in an object */
	char name[64];
	__u32 type, key_size, value_size, max_entries;
	__u32 key, value;	/* ids in btf */
};

/*
 * side.c: a map by the path of its pin, or by its name in an object. 0, or 1: failed,
 * and said so. An object is closed with the side.
 */
int side_open(struct side *side, const char *path, const char *map);
int side_of_pin(struct side *side, const char *path);
int side_of_object(struct side *side, struct bpf_object *obj, const char *file, const char *map);
bool side_has_types(const struct side *side);
bool side_is_pin(const char *path);
bool fd_is(int fd, const char *kind);
__u32 map_id(int fd);		/* 0: it is no map */
/* The map of the object that a pinned map belongs to, by its name. */
const char *side_find(struct bpf_object *obj, const struct side *pinned);
void side_close(struct side *side);
const char *side_type(const struct side *side);

/* types.c: past typedefs and qualifiers; the name of a type, as in C. */
const struct btf_type *type_resolve(const struct btf *btf, __u32 id, __u32 *to);
const char *type_name(const struct btf *btf, __u32 id, char name[TEXT]);
bool type_is_number(const struct btf_type *t);
bool type_is_signed(const struct btf_type *t);
/* Of two enums: do all names of the first have the same value in the second? */
bool type_same_names(const struct btf *a, const struct btf_type *x, const struct btf *b,
		     const struct btf_type *y);
/* Do two types have the same fields in the same places? */
bool type_same(const struct btf *a, __u32 x, const struct btf *b, __u32 y);

/* fields.c: a field of a struct, or of a struct without a name inside it. */
struct field {
	const char *name;	/* of a union without one: its member of the same size */
	__u32 type;
	__u32 bit;		/* offset */
	bool bits;		/* it is a bit field */
	bool is_union;		/* a union without a name */
};

#define MAX_FIELDS 1024
struct fields {
	int count;
	const char *unnamed;	/* a reason, if something has no usable name */
	struct field field[MAX_FIELDS];
};

void fields_of(const struct btf *btf, __u32 id, struct fields *fields);
const struct field *fields_find(const struct fields *fields, const char *name);
/* Is there a field of this name in one of its unions without a name? */
bool fields_in_union(const struct btf *btf, const struct fields *fields, const char *name);

/* layout.c: how the old layout becomes the new one, by the names of fields. */
struct layout {
	const char *what;	/* "key" or "value" */
	bool is_key;		/* then nothing may be dropped */
	const struct btf *old, *new;
	FILE *convert, *revert;	/* C statements, from `old` to `new` and back */
	FILE *changes;		/* what changes, a line each */
	char error[2 * TEXT];	/* why it cannot */
};

bool layout_compare(struct layout *layout, __u32 old, __u32 new);

/* Where in it: "" for all of it, ".a.b[i0]". */
struct place {
	char path[TEXT];
	int loops;
};

/* statement.c: print to both `convert` and `revert`. */
void print_assignment(struct layout *layout, const struct place *place);
/* As many bytes as the old one has. */
void print_copy(struct layout *layout, const struct place *place);
void print_loop(struct layout *layout, const struct place *place, __u32 count);
void print_end(struct layout *layout, const struct place *place);

/*
 * declare.c: declare something of a type, with the same layout, but without the names
 * of the structs it is made of: the new version may use them for others. False: the
 * type has a pointer that the kernel owns.
 */
bool declare(FILE *out, const struct btf *btf, __u32 id, const char *name, int depth);
/* Declare the struct, or another type, of this name. */
bool declare_type(FILE *out, const struct btf *btf, __u32 id, const char *name);
/* How the declared type is written in C: "struct " or nothing. */
const char *declared_kind(const struct btf *btf, __u32 id);

/* compare.c: two maps. False: the one cannot become the other; `error` says why. */
enum {
	TYPES,			/* the old ones, declared in C */
	KEY, KEY_BACK, VALUE, VALUE_BACK,	/* statements that convert */
	KEY_CHANGES, VALUE_CHANGES,	/* a line for each */
	PARTS,
};
struct comparison {
	char *text[PARTS];
	char error[2 * TEXT];
};
bool compare(const struct side *old, const struct side *new, struct comparison *comparison);
void comparison_free(struct comparison *comparison);

/* gen.c, plan.c, run.c, resumption.c */
int gen(int argc, char **argv);
int plan(int argc, char **argv);
int run(int argc, char **argv);
int resume_run(int argc, char **argv);
int status(int argc, char **argv);

#endif /* COMMAND_H */
