// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Statements in C that convert a key or a value, and turn it back. */
#include "command.h"

/* An expression for the place in what a pointer called `side` points to. */
static const char *lvalue(const char *side, const struct place *at, char text[TEXT])
{
	const char *path = at->path;

	if (*path == '.')
		snprintf(text, TEXT, "%s->%.500s", side, path + 1);
	else
		snprintf(text, TEXT, *path ? "(*%s)%.500s" : "*%s%.500s", side, path);
	return text;
}

static void assign(FILE *out, const char *to, const char *from, const struct place *at)
{
	char left[TEXT], right[TEXT];

	fprintf(out, "%.*s%s = %s;\n", TABS(at->loops + 1), lvalue(to, at, left),
		lvalue(from, at, right));
}

static const char *address(const char *side, const struct place *at, char text[TEXT])
{
	char place[TEXT];

	snprintf(text, TEXT, *at->path ? "&%.500s" : "%.500s",
		 *at->path ? lvalue(side, at, place) : side);
	return text;
}

/* As many bytes as the old one has. The helper has no limit, unlike clang's memcpy(). */
static void copy(FILE *out, const char *to, const char *from, const struct place *at)
{
	char size[TEXT], left[TEXT], right[TEXT];

	fprintf(out, "%.*sbpf_probe_read_kernel(%s, sizeof(%s), %s);\n", TABS(at->loops + 1),
		address(to, at, left), lvalue("old", at, size), address(from, at, right));
}

void print_assignment(struct layout *l, const struct place *at)
{
	assign(l->convert, "new", "old", at);
	assign(l->revert, "old", "new", at);
}

void print_copy(struct layout *l, const struct place *at)
{
	copy(l->convert, "new", "old", at);
	copy(l->revert, "old", "new", at);
}

static void loop(FILE *out, const struct place *at, __u32 count)
{
	int i = at->loops;

	fprintf(out, "%.*sfor (int i%d = 0; i%d < %u; i%d++) {\n", TABS(i + 1), i, i, count, i);
}

void print_loop(struct layout *l, const struct place *at, __u32 count)
{
	loop(l->convert, at, count);
	loop(l->revert, at, count);
}

void print_end(struct layout *l, const struct place *at)
{
	fprintf(l->convert, "%.*s}\n", TABS(at->loops + 1));
	fprintf(l->revert, "%.*s}\n", TABS(at->loops + 1));
}
