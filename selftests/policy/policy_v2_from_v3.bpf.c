// SPDX-License-Identifier: GPL-2.0-only
/* The policy, version 2, to be "upgraded" from version 3. */
#define OLD 3
#define NEW 2
#include "policy.bpf.h"
