// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "keyset.h"

static int keyset_grow(struct keyset *set);

static __u32 *keyset_slot(struct keyset *set, const void *key)
{
	__u32 hash = 2166136261;

	for (__u32 i = 0; i < set->key_size; i++)
		hash = (hash ^ ((const __u8 *)key)[i]) * 16777619;
	for (hash ^= hash >> 15;; hash++) {
		__u32 *slot = &set->slots[hash % (2 * set->capacity)];

		if (!*slot || !memcmp(keyset_key(set, *slot - 1), key, set->key_size))
			return slot;
	}
}

int keyset_add(struct keyset *set, const void *key)
{
	__u32 *slot;

	if (set->count == set->capacity && keyset_grow(set))
		return -ENOMEM;
	slot = keyset_slot(set, key);
	if (*slot)
		return 0;
	memcpy(set->keys + set->count * (size_t)set->key_size, key, set->key_size);
	*slot = ++set->count;
	return 0;
}

void keyset_clear(struct keyset *set)
{
	if (set->count)
		memset(set->slots, 0, 2 * set->capacity * sizeof(*set->slots));
	set->count = 0;
}

void keyset_free(struct keyset *set)
{
	free(set->keys);
	free(set->slots);
	*set = (struct keyset){ .key_size = set->key_size };
}

static int keyset_grow(struct keyset *set)
{
	struct keyset more = { .key_size = set->key_size };

	more.capacity = set->capacity ? 2 * set->capacity : 1024;
	more.keys = malloc(more.capacity * (size_t)more.key_size);
	more.slots = calloc(2 * (size_t)more.capacity, sizeof(*more.slots));
	if (!more.keys || !more.slots) {
		keyset_free(&more);
		return -ENOMEM;
	}
	for (__u32 i = 0; i < set->count; i++)
		keyset_add(&more, keyset_key(set, i));
	keyset_free(set);
	*set = more;
	return 0;
}
