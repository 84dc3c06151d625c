/* SPDX-License-Identifier: GPL-2.0-only */
/* The operations of a writer. */
#ifndef UPGRADE_OPS_H
#define UPGRADE_OPS_H

#include "upgrade_history.h"

/* One round of a writer's work. */
void load_by_program(struct writer *writer);
void load_by_syscall(struct writer *writer);

/* Fill half of the old map, or with ballast, all of it. 0 or an errno. */
int load_fill(struct load *load);

#endif /* UPGRADE_OPS_H */
