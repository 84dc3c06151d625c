/* SPDX-License-Identifier: GPL-2.0-only */
/* Who owns a key of the new map. The caller holds its lock. */
#ifndef UPGRADE_OWN_BPF_H
#define UPGRADE_OWN_BPF_H

/*
 * The slots that the new version has written: one bit for each CPU, or all bits if
 * the map is not per-CPU. upgrade_open() sets the sizes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(UPGRADE_NEW_KEY));
	__uint(value_size, sizeof(__u64));
} upgrade_owned SEC(".maps");

/* Look the owner up, into s->owned. */
static __always_inline void upgrade_find_owner(struct upgrade_stripe *s)
{
	__u64 *owned = bpf_map_lookup_elem(&upgrade_owned, &s->key);

	for (__u32 i = 0; i < UPGRADE_WORDS; i++)
		s->owned[i] = owned && i < upgrade_config.words ? owned[i] : 0;
}

static __always_inline bool upgrade_owns(const struct upgrade_stripe *s, __u32 cpu)
{
	return s->owned[cpu / 64 % UPGRADE_WORDS] >> cpu % 64 & 1;
}

static __always_inline bool upgrade_owns_any(const struct upgrade_stripe *s)
{
	__u64 any = 0;

	for (__u32 i = 0; i < UPGRADE_WORDS; i++)
		any |= s->owned[i];
	return any;
}

static __always_inline bool upgrade_owns_all(const struct upgrade_stripe *s)
{
	__u64 all = ~0ULL;

	for (__u32 i = 0; i < UPGRADE_WORDS; i++)
		all &= i < upgrade_config.words ? s->owned[i] : ~0ULL;
	return !~all;
}

/* Make room to note the owner of a key, before it is known whether there will be one. */
static __always_inline int upgrade_reserve(struct upgrade_stripe *s)
{
	__u64 nobody[UPGRADE_WORDS] = {};
	int err;

	if (bpf_map_lookup_elem(&upgrade_owned, &s->key))
		return 0;
	err = bpf_map_update_elem(&upgrade_owned, &s->key, nobody, BPF_NOEXIST);
	if (err)
		__sync_fetch_and_add(&upgrade.own_failures, 1);
	return err;
}

/* Use the room to note that this CPU's slot is owned, or that all are. */
static __always_inline void upgrade_own(struct upgrade_stripe *s, bool all, __u32 cpu)
{
	__u64 *owned = bpf_map_lookup_elem(&upgrade_owned, &s->key);

	for (__u32 i = 0; owned && i < UPGRADE_WORDS && i < upgrade_config.words; i++)
		if (all)
			owned[i] = ~0ULL;
		else if (i == cpu / 64)
			owned[i] |= 1ULL << cpu % 64;
}

/* Give the room back if nothing is owned. */
static __always_inline void upgrade_own_nothing(struct upgrade_stripe *s)
{
	if (!upgrade_owns_any(s))
		bpf_map_delete_elem(&upgrade_owned, &s->key);
}

#endif /* UPGRADE_OWN_BPF_H */
