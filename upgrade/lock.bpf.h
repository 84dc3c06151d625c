/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The locks of the new map's keys, and the memory that goes with each of them. */
#ifndef UPGRADE_LOCK_BPF_H
#define UPGRADE_LOCK_BPF_H

#define UPGRADE_TRIES (1 << 23)	/* to take a lock, per bpf_loop(): its maximum */
#define UPGRADE_LOOPS 16	/* the holder's vCPU may not run for long */
#define UPGRADE_WORDS (UPGRADE_MAX_CPUS / 64)
#define UPGRADE_PAD(type) ((sizeof(type) + 7) / 8 * 8)

extern void bpf_local_irq_save(unsigned long *flags__irq_flag) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags__irq_flag) __weak __ksym;

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

static const __u64 upgrade_zeroes[UPGRADE_MAX_VALUE / 8] SEC(".rodata.upgrade_zeroes");

/* Memory of any kind and size, without a loop for the verifier to follow. */
#define upgrade_copy_bytes(to, from, size) bpf_probe_read_kernel(to, size, from)
#define upgrade_zero_bytes(to, size) bpf_probe_read_kernel(to, size, upgrade_zeroes)

/*
 * Do two padded buffers differ? In global functions only, each of which is verified
 * once. Without an early exit, there is one path for the verifier.
 */
static __always_inline __u64 upgrade_differ(const __u64 *a, const __u64 *b, __u32 size)
{
	__u64 differ = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < size / 8; i++)
		differ |= a[i] ^ b[i];
	return differ;
}

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

struct upgrade_spin {
	__u32 *holder;
	__u32 me;
	__u32 taken;
	__u32 mine;		/* we interrupted the holder, on this CPU */
};

static long upgrade_spin_once(__u64 i, struct upgrade_spin *spin)
{
	__u32 holder = __sync_val_compare_and_swap(spin->holder, 0, spin->me);

	spin->taken = !holder;
	spin->mine = holder == spin->me;
	return spin->taken || spin->mine;
}

/* Not a loop in upgrade_lock(), of which the verifier would follow every exit. */
static long upgrade_spin_more(__u64 i, struct upgrade_spin *spin)
{
	bpf_loop(UPGRADE_TRIES, upgrade_spin_once, spin, 0);
	return spin->taken || spin->mine;
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
	__sync_fetch_and_add(&upgrade.lock_failures, 1);
	return false;
}

static __always_inline void upgrade_unlock(__u32 hash, unsigned long *flags)
{
	__sync_lock_test_and_set(&upgrade_stripe(hash)->holder, 0);
	bpf_local_irq_restore(flags);
}

#endif /* UPGRADE_LOCK_BPF_H */
