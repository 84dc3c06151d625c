/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Distinct keys in the order of insertion, found by a hash table of indices. */
#ifndef KEYSET_H
#define KEYSET_H

#include <stddef.h>
#include <linux/types.h>

struct keyset {
	__u32 key_size, count, capacity;
	char *keys;
	__u32 *slots;		/* index + 1; 2 * capacity of them */
};

/* Add a key unless it is already there. 0 or -ENOMEM. */
int keyset_add(struct keyset *set, const void *key);

/* Remove all keys; keyset_free() frees the memory as well. */
void keyset_clear(struct keyset *set);
void keyset_free(struct keyset *set);

static inline const void *keyset_key(const struct keyset *set, __u32 i)
{
	return set->keys + i * (size_t)set->key_size;
}

#endif /* KEYSET_H */
