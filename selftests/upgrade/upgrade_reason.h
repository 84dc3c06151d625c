/* SPDX-License-Identifier: GPL-2.0-only */
/* Print why the library refuses: on a kernel without the hooks, that must be the reason. */
#ifndef UPGRADE_REASON_H
#define UPGRADE_REASON_H

#include <stdio.h>
#include "upgrade.h"

static inline int open_upgrade(struct bpf_object *obj, const struct upgrade_opts *given,
			       struct upgrade **upgrade)
{
	struct upgrade_opts opts = *given;
	char error[256] = "";
	int err;

	if (!opts.error) {
		opts.error = error;
		opts.error_size = sizeof(error);
	}
	err = upgrade_open(obj, &opts, upgrade);
	if (err) {
		printf("# upgrade_open: %s\n", opts.error);
		/* A test that ends with a failed assertion flushes nothing. */
		fflush(stdout);
	}
	return err;
}

#endif /* UPGRADE_REASON_H */
