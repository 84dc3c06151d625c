// SPDX-License-Identifier: GPL-2.0-only
/* The policy, version 3, to be upgraded from version 2. */
#define OLD 2
#define NEW 3
#include "policy.bpf.h"
