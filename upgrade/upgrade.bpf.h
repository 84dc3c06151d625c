/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Live upgrade, the BPF side. The new version's .bpf.c includes this file after
 * vmlinux.h and after it has defined
 *
 *   UPGRADE_OLD_MAP, UPGRADE_NEW_MAP		names of the two maps in this file
 *   UPGRADE_OLD_KEY, UPGRADE_OLD_VALUE		types
 *   UPGRADE_NEW_KEY, UPGRADE_NEW_VALUE
 *   static __always_inline void
 *   upgrade_convert_key(const UPGRADE_OLD_KEY *, UPGRADE_NEW_KEY *);
 *   upgrade_revert_key(const UPGRADE_NEW_KEY *, UPGRADE_OLD_KEY *);
 *   upgrade_convert_value(const UPGRADE_OLD_VALUE *, UPGRADE_NEW_VALUE *);
 *
 * Different old keys must become different new keys, and upgrade_revert_key() must
 * turn a new key back into the old one; for a new key that no old key becomes, it
 * may return anything. These functions write to memory that is zeroed before. The
 * sizes of the maps are static; the old map is declared with max_entries 1 and
 * replaced by the running map if upgrade_open() is called before load. Without that
 * call, none of the library is active, and the verifier removes it as dead code.
 *
 * A program of the new version must first ask upgrade_active(), once per event.
 * Then, for keys of the new map, it calls
 *
 *   upgrade_before_read()	before a lookup
 *   upgrade_before_write()	before a store into an element, or an update with
 *				BPF_ANY
 *   upgrade_before_delete()	before a deletion whose result does not matter
 *   upgrade_update_elem()	for an update with any flags
 *   upgrade_delete_elem()	for a deletion
 *
 * All of them return 0 or a negative errno. If one of the first three fails, the
 * program must leave the key alone: the map has no room to copy the element, this is
 * being replaced all the time, or there is no room to note that the new version
 * changes it. If one of the last two fails, nothing was changed. A failure that the
 * upgrade is to blame for makes it fail, too. Keys and values must be in writable
 * memory, such as the stack or a map that is not read-only.
 *
 * After upgrade_before_write() and upgrade_before_delete(), the new version owns
 * the key even if the operation then fails. Where it can fail because of what the
 * map holds (BPF_NOEXIST, BPF_EXIST, deletion of a missing element), only the last
 * two can tell a failure from a change.
 *
 * For several maps, include this file once for each of them, and define UPGRADE_NAME,
 * too: all of the functions above but upgrade_active() then begin with that name
 * instead of upgrade. The macros are undefined again at the end of this file.
 */
#include "shared.bpf.h"
#include "names.bpf.h"

#ifndef UPGRADE_NAME
#define UPGRADE_NAME upgrade
#define UPGRADE_UNNAMED
#endif

struct upgrade_pair_state upgrade_pair SEC(".data." UPGRADE_STR(UPGRADE_NAME) "_pair") = {};

const volatile struct upgrade_pair_config upgrade_config
SEC(".rodata." UPGRADE_STR(UPGRADE_NAME)) = {
	.version = UPGRADE_VERSION,
	.old_map = UPGRADE_STR(UPGRADE_OLD_MAP),
	.new_map = UPGRADE_STR(UPGRADE_NEW_MAP),
	.old_key_size = sizeof(UPGRADE_OLD_KEY),
	.old_value_size = sizeof(UPGRADE_OLD_VALUE),
	.new_key_size = sizeof(UPGRADE_NEW_KEY),
	.new_value_size = sizeof(UPGRADE_NEW_VALUE),
};

#include "lock.bpf.h"
#include "own.bpf.h"
#include "read.bpf.h"
#include "sync.bpf.h"
#include "gate.bpf.h"

/* Find the old key that becomes this new key, into s->old_key; false if none does. */
static __always_inline bool upgrade_revert(struct upgrade_stripe *s)
{
	const __u8 *key = (__u8 *)&s->key, *again = (__u8 *)&s->key_again;
	__u8 differ = 0;

	upgrade_zero_bytes(&s->old_key, sizeof(s->old_key));
	upgrade_zero_bytes(&s->key_again, sizeof(s->key_again));
	upgrade_revert_key(&s->key, &s->old_key);
	upgrade_convert_key(&s->old_key, &s->key_again);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < sizeof(s->key); i++)
		differ |= key[i] ^ again[i];
	return !differ;
}

/* Do the operation itself, for UPDATE and DELETE: 0 or a negative errno. */
static __always_inline long upgrade_plain(const UPGRADE_NEW_KEY *key,
					  const UPGRADE_NEW_VALUE *value, __u64 flags,
					  enum upgrade_op op)
{
	if (op == UPGRADE_UPDATE && value)
		return bpf_map_update_elem(&UPGRADE_NEW_MAP, key, value, flags);
	if (op == UPGRADE_DELETE)
		return bpf_map_delete_elem(&UPGRADE_NEW_MAP, key);
	return 0;
}

/*
 * The caller holds the lock of the key. Interrupts are off, so a grace period waits
 * for what follows, even if a process asks with a sleepable program.
 */
static __always_inline long upgrade_do_locked(__u32 hash, const UPGRADE_NEW_VALUE *value,
					      __u64 flags, enum upgrade_op op)
{
	struct upgrade_stripe *s = upgrade_stripe(hash);
	__u32 phase = upgrade_phase();
	bool all = !upgrade_config.percpu || op == UPGRADE_FORGET || op == UPGRADE_DELETE ||
		   op == UPGRADE_CLAIM;
	long err;

	if (op == UPGRADE_CLAIM && upgrade_is_old_in_charge(phase))
		return 1;
	if (!upgrade_in_window(phase, op) || !upgrade_revert(s))
		return upgrade_plain(&s->key, value, flags, op);
	upgrade_find_owner(s);
	if (phase == UPGRADE_SWITCHED) {
		err = upgrade_sync(hash, UPGRADE_REFRESH);
		if (err) {
			__sync_fetch_and_add(&upgrade_pair.copy_failures, 1);
			return err;
		}
	}
	if (op == UPGRADE_READ)
		return 0;
	err = upgrade_reserve(s);
	if (err)
		return err;
	err = upgrade_plain(&s->key, value, flags, op);
	if (err)
		upgrade_own_nothing(s);
	else
		upgrade_own(s, all, bpf_get_smp_processor_id());
	return err;
}

/* Global, so that it is verified once, however often a program calls it. */
__noinline long upgrade_do(const UPGRADE_NEW_KEY *key __arg_nonnull,
			   const UPGRADE_NEW_VALUE *value, __u64 flags, __u32 op)
{
	unsigned long irq;
	__u32 hash;
	long err;

	if (!upgrade_config.enabled ||
	    (op != UPGRADE_CLAIM && !upgrade_in_window(upgrade_phase(), op)))
		return upgrade_plain(key, value, flags, op);
	hash = upgrade_hash(key);
	if (!upgrade_lock(hash, &irq))
		return -UPGRADE_EBUSY;
	upgrade_copy_bytes(&upgrade_stripe(hash)->key, key, sizeof(*key));
	err = upgrade_do_locked(hash, value, flags, op);
	upgrade_unlock(hash, &irq);
	return err;
}

static __always_inline long upgrade_before_read(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_READ);
}

static __always_inline long upgrade_before_write(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_WRITE);
}

static __always_inline long upgrade_before_delete(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_FORGET);
}

/* Like bpf_map_update_elem() and bpf_map_delete_elem() on the new map. */
static __always_inline long upgrade_update_elem(const UPGRADE_NEW_KEY *key,
						const UPGRADE_NEW_VALUE *value, __u64 flags)
{
	return upgrade_do(key, value, flags, UPGRADE_UPDATE);
}

static __always_inline long upgrade_delete_elem(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_DELETE);
}

#include "programs.bpf.h"

#ifdef UPGRADE_UNNAMED
#undef UPGRADE_UNNAMED
#else
/* For the next map. */
#undef UPGRADE_NAME
#undef UPGRADE_OLD_MAP
#undef UPGRADE_OLD_KEY
#undef UPGRADE_OLD_VALUE
#undef UPGRADE_NEW_MAP
#undef UPGRADE_NEW_KEY
#undef UPGRADE_NEW_VALUE
#endif
