// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Everything about two maps, as text that is used once all of it is known to be right. */
#include <stdlib.h>
#include "command.h"

static bool compare_types(const struct side *old, const struct side *new, FILE *out[PARTS],
			  char error[2 * TEXT])
{
	struct layout key = {
		.what = "key", .is_key = true, .old = old->btf, .new = new->btf,
		.convert = out[KEY], .revert = out[KEY_BACK], .changes = out[KEY_CHANGES],
	};
	struct layout value = {
		.what = "value", .old = old->btf, .new = new->btf,
		.convert = out[VALUE], .revert = out[VALUE_BACK], .changes = out[VALUE_CHANGES],
	};
	bool ok = true;

	if (!declare_type(out[TYPES], old->btf, old->key, "upgrade_old_key") ||
	    !fprintf(out[TYPES], "\n") ||
	    !declare_type(out[TYPES], old->btf, old->value, "upgrade_old_value")) {
		snprintf(error, 2 * TEXT, "the old map has pointers that the kernel owns");
		return false;
	}
	if (!layout_compare(&key, old->key, new->key))
		ok = !snprintf(error, 2 * TEXT, "%s", key.error);
	else if (!layout_compare(&value, old->value, new->value))
		ok = !snprintf(error, 2 * TEXT, "%s", value.error);
	return ok;
}

bool compare(const struct side *old, const struct side *new, struct comparison *comparison)
{
	FILE *out[PARTS];
	size_t size;
	bool ok;

	for (int i = 0; i < PARTS; i++) {
		out[i] = open_memstream(&comparison->text[i], &size);
		if (!out[i])
			abort();	/* no memory */
	}
	ok = compare_types(old, new, out, comparison->error);
	for (int i = 0; i < PARTS; i++)
		fclose(out[i]);
	return ok;
}

void comparison_free(struct comparison *comparison)
{
	for (int i = 0; i < PARTS; i++)
		free(comparison->text[i]);
}
