// SPDX-License-Identifier: GPL-2.0-only
/* The policy, back to version 2 from version 3. */
#define OLD 3
#define NEW 2
#include "policy.bpf.h"
