// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* bpf-upgrade: the library as a command. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "command.h"

static const char usage[] =
	"usage: bpf-upgrade gen OLD NEW.o [MAP [OLD_MAP]]\n"
	"       bpf-upgrade plan|run [--old-decides] [--in-nmis] PINS NEW.o\n"
	"       bpf-upgrade resume PINS NEW.o\n"
	"       bpf-upgrade status PINS\n"
	"\n"
	"gen    prints C for the new version's program: the old map's types, and functions\n"
	"       that convert its elements. OLD is a pinned map, or the object that it was\n"
	"       loaded from (then MAP is its name, or OLD_MAP if the new one has another).\n"
	"plan   says what is to be done, or why it cannot be, and changes nothing. PINS is a\n"
	"       folder in which the old version's maps and links are pinned.\n"
	"run    does it: in the end, PINS has the maps and links of the new version.\n"
	"resume finishes it if it failed or was killed after the new version took over.\n"
	"status says whether that is the case.\n"
	"\n"
	"--old-decides: the old version goes on changing its map until it is detached, and what\n"
	"       it alone records then is carried over. A kernel without the hooks needs this.\n"
	"--in-nmis: the new version's programs also run in NMIs, which must not wait for memory.\n";

static const struct {
	const char *name;
	int least, most;	/* arguments */
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "gen", 2, 4, gen },
	{ "plan", 2, 4, plan },
	{ "run", 2, 4, run },
	{ "resume", 2, 2, resume_run },
	{ "status", 1, 1, status },
};

static char warning[TEXT];

/* libbpf's last warning is the most general one, its first the most precise. */
static int keep_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !*warning)
		vsnprintf(warning, sizeof(warning), format, args);
	return 0;
}

const char *reason(void)
{
	static char text[TEXT];

	snprintf(text, sizeof(text), "%s", *warning ? warning + strlen("libbpf: ") :
						      strerror(errno));
	text[strcspn(text, "\n")] = '\0';
	*warning = '\0';
	return text;
}

int __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "bpf-upgrade: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	return 1;
}

struct bpf_object *open_object(const char *path)
{
	struct bpf_object *obj;

	*warning = '\0';
	obj = access(path, R_OK) ? NULL : bpf_object__open_file(path, NULL);
	if (!obj)
		fail("cannot open the object %s: %s", path, reason());
	return obj;
}

int command(int argc, char **argv)
{
	libbpf_set_print(keep_warning);
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].least &&
		    argc - 2 <= commands[i].most)
			return commands[i].run(argc - 2, argv + 2);
	fputs(usage, stderr);
	return 2;
}
