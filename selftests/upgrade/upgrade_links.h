/* SPDX-License-Identifier: GPL-2.0-only */
/* What both versions of the programs of upgrade_links.c share. */
#ifndef UPGRADE_LINKS_H
#define UPGRADE_LINKS_H

#define LINKS 2
#define LINKS_KEYS 64		/* one for each CPU; not all are used */

#endif /* UPGRADE_LINKS_H */
