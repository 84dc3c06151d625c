/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Find elements, and read values into the stripe of the key's lock, which the caller
 * holds. What takes many instructions to verify is a global function, so that it is
 * verified once.
 */
#define UPGRADE_READS 64	/* tries to read a value that keeps changing */
#define UPGRADE_LOOKUPS 4

static __always_inline void *upgrade_old_slot(const UPGRADE_OLD_KEY *key, __u32 cpu)
{
	return upgrade_config.percpu ?
	       bpf_map_lookup_percpu_elem(&UPGRADE_OLD_MAP, key, cpu) :
	       bpf_map_lookup_elem(&UPGRADE_OLD_MAP, key);
}

static __always_inline void *upgrade_new_slot(const UPGRADE_NEW_KEY *key, __u32 cpu)
{
	return upgrade_config.percpu ?
	       bpf_map_lookup_percpu_elem(&UPGRADE_NEW_MAP, key, cpu) :
	       bpf_map_lookup_elem(&UPGRADE_NEW_MAP, key);
}

/* A lookup can miss an element that is being replaced, so try again. */
static __always_inline void *upgrade_find_old(const UPGRADE_OLD_KEY *key, __u32 cpu)
{
	void *slot = NULL;

	for (int i = 0; i < UPGRADE_LOOKUPS && !slot; i++)
		slot = upgrade_old_slot(key, cpu);
	return slot;
}

/* A copy of a value has zeroes where the map has fields that only the kernel touches. */
static __always_inline void upgrade_blank(void *value, __u32 value_size,
					  const volatile struct upgrade_field *special)
{
	for (__u32 i = 0; i < UPGRADE_MAX_SPECIAL; i++) {
		__u32 offset = special[i].offset, size = special[i].size;

		if (!size || size > value_size || offset > value_size - size)
			break;
		upgrade_zero_bytes(value + offset, size);
	}
}

__noinline int upgrade_torn(__u32 hash)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);

	return !!upgrade_differ(s->old, s->old_again, sizeof(s->old));
}

/*
 * Read the old value and convert it into s->new: 1, 0 if there is none, or a negative
 * errno. An element can be freed and reused for another key while it is read, so read
 * until two lookups agree, and two copies. If it is the element that is being stored
 * into all the time, what was read last is as right as any.
 */
__noinline int upgrade_read_old(__u32 hash, __u32 cpu)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);
	void *slot = upgrade_find_old(&s->old_key, cpu), *again;
	bool same = true;

#pragma clang loop unroll(disable)
	for (int i = 0; i < UPGRADE_READS && slot; i++) {
		upgrade_copy_bytes(s->old, slot, sizeof(UPGRADE_OLD_VALUE));
		upgrade_blank(s->old, sizeof(UPGRADE_OLD_VALUE), upgrade_config.old_special);
		again = upgrade_find_old(&s->old_key, cpu);
		same = again == slot;
		if (same) {
			upgrade_copy_bytes(s->old_again, again, sizeof(UPGRADE_OLD_VALUE));
			upgrade_blank(s->old_again, sizeof(UPGRADE_OLD_VALUE),
				      upgrade_config.old_special);
			if (!upgrade_torn(hash))
				break;
		}
		slot = again;
	}
	if (!slot)
		return 0;
	if (!same)
		return -UPGRADE_EBUSY;
	upgrade_zero_bytes(s->new, sizeof(s->new));
	upgrade_convert_value((void *)s->old, (void *)s->new);
	return 1;
}

/* Is the value that s->there is a copy of as it should be, except for such fields? */
__noinline int upgrade_in_line(__u32 hash)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);

	upgrade_blank(s->there, sizeof(UPGRADE_NEW_VALUE), upgrade_config.new_special);
	return !upgrade_differ(s->there, s->new, sizeof(s->new));
}
