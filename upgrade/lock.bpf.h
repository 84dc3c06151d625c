/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The locks of the new map's keys, and the memory that goes with each of them. */

#define UPGRADE_WORDS (UPGRADE_MAX_CPUS / 64)
#define UPGRADE_PAD(type) ((sizeof(type) + 7) / 8 * 8)

/*
 * A lock for the keys of one hash, and what its holder works on: keys and values can
 * be larger than a program's stack. Values are mere bytes, since a type can have
 * fields that the verifier wants to find in maps only; they are padded with zeroes.
 */
struct upgrade_stripe {
	__u32 holder;			/* CPU + 1; 0: free */
	UPGRADE_OLD_KEY old_key __attribute__((aligned(8)));
	UPGRADE_NEW_KEY key __attribute__((aligned(8)));
	UPGRADE_NEW_KEY key_again __attribute__((aligned(8)));
	__u64 old[UPGRADE_PAD(UPGRADE_OLD_VALUE) / 8];
	__u64 old_again[UPGRADE_PAD(UPGRADE_OLD_VALUE) / 8];
	__u64 new[UPGRADE_PAD(UPGRADE_NEW_VALUE) / 8];	/* what it should be */
	__u64 there[UPGRADE_PAD(UPGRADE_NEW_VALUE) / 8];	/* what it is */
	__u64 owned[UPGRADE_WORDS];	/* slots that the new version owns, by CPU */
};

/* Static, to keep it out of skeletons, whose users do not know the type. */
static struct upgrade_stripe upgrade_stripes[UPGRADE_STRIPES] SEC(".bss.upgrade");

static __always_inline struct upgrade_stripe *upgrade_stripe(__u32 hash)
{
	return &upgrade_stripes[hash % UPGRADE_STRIPES];
}

__noinline __u32 upgrade_hash(const UPGRADE_NEW_KEY *key __arg_nonnull)
{
	const __u8 *byte = (const __u8 *)key;
	__u32 hash = 2166136261;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < sizeof(*key); i++)
		hash = (hash ^ byte[i]) * 16777619;
	return hash ^ hash >> 16;
}

/*
 * Take the lock of the keys of this hash; interrupts stay off while it is held. If
 * it cannot be taken, count that and return false: in an NMI that interrupted the
 * holder, or one that waits for a CPU whose NMI waits for this one.
 */
static __always_inline bool upgrade_lock(__u32 hash, unsigned long *flags)
{
	struct upgrade_spin spin = { .holder = &upgrade_stripe(hash)->holder };

	bpf_local_irq_save(flags);
	spin.me = bpf_get_smp_processor_id() + 1;
	bpf_loop(UPGRADE_LOOPS, upgrade_spin_more, &spin, 0);
	if (spin.taken)
		return true;
	bpf_local_irq_restore(flags);
	__sync_fetch_and_add(&upgrade_pair.lock_failures, 1);
	return false;
}

static __always_inline void upgrade_unlock(__u32 hash, unsigned long *flags)
{
	__sync_lock_test_and_set(&upgrade_stripe(hash)->holder, 0);
	bpf_local_irq_restore(flags);
}
