// SPDX-License-Identifier: GPL-2.0-only
/* The new version of upgrade_gen.c, with what bpf-upgrade gen made of it and the old one. */
#include "upgrade_gen_plain.bpf.c"
#include "upgrade_gen.generated.h"
