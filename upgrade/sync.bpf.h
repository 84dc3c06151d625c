/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Bring an element of the new map in line with the old map. All of this is called
 * with the lock of the key held, and the keys in the stripe of that lock.
 */
/* Does a bulk copy of this element have to wait until somebody asks for it? */
static __always_inline bool upgrade_would_evict(__u32 pass)
{
	return upgrade_config.lru && (pass == UPGRADE_COPY || pass == UPGRADE_FULL) &&
	       bpf_map_sum_elem_count((struct bpf_map *)&UPGRADE_NEW_MAP) >=
	       upgrade_config.lru_room;
}

/* The new map has no such element, and it should. */
static __always_inline int upgrade_count_missing(void)
{
	__sync_fetch_and_add(upgrade_config.lru ? &upgrade_pair.evicted : &upgrade_pair.missing, 1);
	return 1;
}

/* Write s->new to the element; create it if necessary. 0 or a negative errno. */
static __always_inline int upgrade_write_new(struct upgrade_stripe *s)
{
	int err = bpf_map_update_elem(&UPGRADE_NEW_MAP, &s->key, s->new, BPF_ANY);

	if (err)
		__sync_fetch_and_add(&upgrade_pair.write_errors, 1);
	return err;
}

/*
 * The functions from here to upgrade_sync() return 1 if the elements differed, 0 if
 * not, and a negative errno if the new map refused the change, or if the old element
 * is replaced all the time: each change is reported, so the mover will look again.
 */

/* The key is not in the old map, and the new version did not create it: drop it. */
static __always_inline int upgrade_drop(struct upgrade_stripe *s, void *new, __u32 pass)
{
	int err;

	/* An array can be larger than the old one. */
	if (!new || upgrade_config.no_delete)
		return 0;
	if (pass >= UPGRADE_CHECK) {
		__sync_fetch_and_add(&upgrade_pair.resurrected, 1);
		return 1;
	}
	err = bpf_map_delete_elem(&UPGRADE_NEW_MAP, &s->key);
	if (err && upgrade_new_slot(&s->key, 0)) {
		__sync_fetch_and_add(&upgrade_pair.write_errors, 1);
		return err;
	}
	return 1;
}

static __always_inline int upgrade_sync_one(__u32 hash, __u32 pass)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);
	int there = upgrade_read_old(hash, 0);
	void *new = upgrade_new_slot(&s->key, 0);

	if (there < 0)
		return there;
	if (!there)
		return upgrade_drop(s, new, pass);
	if (new) {
		upgrade_copy_bytes(s->there, new, sizeof(UPGRADE_NEW_VALUE));
		if (upgrade_in_line(hash))
			return 0;
	}
	if (!new && pass >= UPGRADE_CHECK)
		return upgrade_count_missing();
	if (!new && upgrade_would_evict(pass))
		return 0;
	if (pass < UPGRADE_CHECK)
		return upgrade_write_new(s) ?: 1;
	if (upgrade_new_slot(&s->key, 0) != new)
		return upgrade_count_missing();
	__sync_fetch_and_add(&upgrade_pair.stale, 1);
	return 1;
}

struct upgrade_slots {
	__u32 hash;
	__u32 pass;
	__u32 there;		/* in the old map */
	__u32 changed;
	__s32 err;
};

static long upgrade_sync_slot(__u64 cpu, struct upgrade_slots *slots)
{
	struct upgrade_stripe *s = upgrade_stripe(slots->hash);
	int there = 0;
	void *new;

	if (upgrade_owns(s, cpu))
		return 0;
	if (slots->there)
		there = upgrade_read_old(slots->hash, cpu);
	if (there < 0) {
		slots->err = there;
		return 1;
	}
	if (!there)
		upgrade_zero_bytes(s->new, sizeof(s->new));
	new = upgrade_new_slot(&s->key, cpu);
	if (!new)
		return 1;
	upgrade_copy_bytes(s->there, new, sizeof(UPGRADE_NEW_VALUE));
	if (upgrade_in_line(slots->hash))
		return 0;
	/* Has it been evicted meanwhile, and become another key's? */
	if (upgrade_new_slot(&s->key, cpu) != new)
		return 1;
	slots->changed = 1;
	if (slots->pass >= UPGRADE_CHECK)
		__sync_fetch_and_add(&upgrade_pair.stale, 1);
	else
		upgrade_copy_bytes(new, s->new, sizeof(UPGRADE_NEW_VALUE));
	return 0;
}

/*
 * A program's update writes the slot of its own CPU only. So slots change hands one
 * by one; the element itself belongs to the new version once it owns any of them.
 */
static __always_inline int upgrade_sync_percpu(__u32 hash, __u32 pass)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);
	struct upgrade_slots slots = { .hash = hash, .pass = pass };
	bool owned = upgrade_owns_any(s);
	void *new = upgrade_new_slot(&s->key, 0);
	int err;

	slots.there = !!upgrade_find_old(&s->old_key, 0);
	if (!slots.there && (!owned || upgrade_config.no_delete))
		return upgrade_drop(s, new, pass);
	if (!new) {
		if (owned)
			return 0;
		if (pass >= UPGRADE_CHECK)
			return upgrade_count_missing();
		if (upgrade_would_evict(pass))
			return 0;
		upgrade_zero_bytes(s->new, sizeof(s->new));
		err = upgrade_write_new(s);
		if (err)
			return err;
		slots.changed = 1;
	}
	bpf_loop(upgrade_config.nr_cpus, upgrade_sync_slot, &slots, 0);
	return slots.err ?: slots.changed;
}

/*
 * Make the new map's element equal to the old map's, except for owned slots.
 * 0 or a negative errno.
 */
__noinline int upgrade_sync(__u32 hash, __u32 pass)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);
	int changed;

	if (pass >= UPGRADE_PASSES || upgrade_owns_all(s))
		return 0;
	if ((pass == UPGRADE_GONE || pass == UPGRADE_CHECK_GONE) &&
	    upgrade_find_old(&s->old_key, 0))
		return 0;
	changed = upgrade_config.percpu ? upgrade_sync_percpu(hash, pass) :
					  upgrade_sync_one(hash, pass);
	barrier_var(pass);	/* the verifier has forgotten the check above */
	if (pass >= UPGRADE_PASSES)
		return 0;
	__sync_fetch_and_add(&upgrade_pair.visited[pass], 1);
	if (changed > 0)
		__sync_fetch_and_add(&upgrade_pair.changed[pass], 1);
	return changed < 0 ? changed : 0;
}
