// SPDX-License-Identifier: GPL-2.0-only
/* The policy, version 2, to be upgraded from version 1. */
#define OLD 1
#define NEW 2
#include "policy.bpf.h"
