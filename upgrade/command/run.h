/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* What running and resuming an upgrade have in common. */
#ifndef RUN_H
#define RUN_H

#include "task.h"

/* run.c: for upgrade_opts. */
int run_attach(void *ctx);
int run_detach(void *ctx);
/* Set the object up for the library. */
int run_open(struct task *task);
/* Say how it went, and tidy up. `err` is what the library returned. An exit status. */
int run_conclude(struct task *task, int err, const struct upgrade_report *report);

/* finish.c: the new map is complete: its version's pins replace the old one's. */
int finish(const char *pins);

#endif /* RUN_H */
