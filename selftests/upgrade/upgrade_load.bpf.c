// SPDX-License-Identifier: GPL-2.0-only
/* The new version, with the library. */
#include "upgrade_new.bpf.h"

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY __u32
#define UPGRADE_OLD_VALUE struct old_value
#define UPGRADE_NEW_KEY __u32
#define UPGRADE_NEW_VALUE struct new_value
#include "upgrade.bpf.h"
#include "upgrade_new_event.bpf.h"
