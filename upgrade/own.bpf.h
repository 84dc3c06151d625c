/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who owns a key of the new map. The caller holds its lock. */
/*
 * The slots that the new version has written: one bit for each CPU, or all bits if
 * the map is not per-CPU. In a map that is freed when the upgrade is done, and that
 * takes up memory only for keys that have an owner, unless NMIs add some. own.c makes it.
 */
struct upgrade_owners {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(UPGRADE_NEW_KEY));
	__uint(value_size, UPGRADE_WORDS * sizeof(__u64));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct upgrade_owners);
} upgrade_owned SEC(".maps");

static __always_inline __u64 *upgrade_lookup_owner(struct upgrade_stripe *s)
{
	__u32 zero = 0;
	void *owners = bpf_map_lookup_elem(&upgrade_owned, &zero);

	return owners ? bpf_map_lookup_elem(owners, &s->key) : NULL;
}

/* Look the owner up, into s->owned. */
static __always_inline void upgrade_find_owner(struct upgrade_stripe *s)
{
	__u64 *owned = upgrade_lookup_owner(s);

	for (__u32 i = 0; i < UPGRADE_WORDS; i++)
		s->owned[i] = owned ? owned[i] : 0;
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
		all &= s->owned[i];
	return !~all;
}

/* Make room to note the owner of a key, before it is known whether there will be one. */
static __always_inline int upgrade_reserve(struct upgrade_stripe *s)
{
	__u64 nobody[UPGRADE_WORDS] = {};
	int err = -UPGRADE_E2BIG;
	__u32 zero = 0;
	void *owners;

	if (upgrade_lookup_owner(s))
		return 0;
	owners = bpf_map_lookup_elem(&upgrade_owned, &zero);
	if (owners)
		err = bpf_map_update_elem(owners, &s->key, nobody, BPF_NOEXIST);
	if (err)
		__sync_fetch_and_add(&upgrade_pair.own_failures, 1);
	return err;
}

/* Use the room to note that this CPU's slot is owned, or that all are. */
static __always_inline void upgrade_own(struct upgrade_stripe *s, bool all, __u32 cpu)
{
	__u64 *owned = upgrade_lookup_owner(s);

	for (__u32 i = 0; owned && i < UPGRADE_WORDS; i++)
		if (all)
			owned[i] = ~0ULL;
		else if (i == cpu / 64)
			owned[i] |= 1ULL << cpu % 64;
}

/* Give the room back if nothing is owned. */
static __always_inline void upgrade_own_nothing(struct upgrade_stripe *s)
{
	__u32 zero = 0;
	void *owners = bpf_map_lookup_elem(&upgrade_owned, &zero);

	if (owners && !upgrade_owns_any(s))
		bpf_map_delete_elem(owners, &s->key);
}
