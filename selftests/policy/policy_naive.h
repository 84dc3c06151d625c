/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef POLICY_NAIVE_H
#define POLICY_NAIVE_H

#include "policy_session.h"

/*
 * Upgrade version 1 to 2 without the library: copy the map, then exchange the
 * programs. Returns 0 or a negative errno.
 */
int policy_naive(const char *root, struct policy_run *run);

#endif /* POLICY_NAIVE_H */
