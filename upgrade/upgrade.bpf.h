/* SPDX-License-Identifier: GPL-2.0-only */
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
 * program must leave the key alone: the map has no room to copy the element, or
 * there is no room to note that the new version changes it. If one of the last two
 * fails, nothing was changed. A failure that the upgrade is to blame for makes it
 * fail, too.
 *
 * After upgrade_before_write() and upgrade_before_delete(), the new version owns
 * the key even if the operation then fails. Where it can fail because of what the
 * map holds (BPF_NOEXIST, BPF_EXIST, deletion of a missing element), only the last
 * two can tell a failure from a change.
 */
#ifndef UPGRADE_BPF_H
#define UPGRADE_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "state.h"

#define UPGRADE_STR_(name) #name
#define UPGRADE_STR(name) UPGRADE_STR_(name)
#define UPGRADE_TRIES (1 << 23)	/* to take a lock, per bpf_loop(): its maximum */
#define UPGRADE_LOOPS 16	/* the holder's vCPU may not run for long */
#define UPGRADE_READS 8		/* tries to read a value that keeps changing */
#define UPGRADE_ALL (~0ULL)	/* the slots of all CPUs, or the only one */
#define UPGRADE_EBUSY 16	/* EBUSY is not in vmlinux.h */

extern void bpf_local_irq_save(unsigned long *flags__irq_flag) __weak __ksym;
extern void bpf_local_irq_restore(unsigned long *flags__irq_flag) __weak __ksym;

struct upgrade_state upgrade SEC(".data.upgrade") = {};

const volatile struct upgrade_config upgrade_config SEC(".rodata.upgrade") = {
	.old_map = UPGRADE_STR(UPGRADE_OLD_MAP),
	.new_map = UPGRADE_STR(UPGRADE_NEW_MAP),
	.old_key_size = sizeof(UPGRADE_OLD_KEY),
	.old_value_size = sizeof(UPGRADE_OLD_VALUE),
	.new_key_size = sizeof(UPGRADE_NEW_KEY),
	.new_value_size = sizeof(UPGRADE_NEW_VALUE),
};

/* A lock for the keys of one hash, and buffers to convert a value in. */
struct upgrade_stripe {
	__u32 holder;			/* CPU + 1; 0: free */
	UPGRADE_OLD_VALUE old __attribute__((aligned(8)));
	UPGRADE_OLD_VALUE again __attribute__((aligned(8)));
	UPGRADE_NEW_VALUE new __attribute__((aligned(8)));
};

/* Static, to keep it out of skeletons, whose users do not know the type. */
static struct upgrade_stripe upgrade_stripes[UPGRADE_STRIPES] SEC(".bss.upgrade");

/* Old keys that were reported. Writing to a ring buffer calls no hook. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} upgrade_marks SEC(".maps");

/* Old keys whose elements were created in the new map after it was listed. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} upgrade_created SEC(".maps");

/* The slots that the new version has written: one bit for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, UPGRADE_NEW_KEY);
	__type(value, __u64);
} upgrade_owned SEC(".maps");

/* Old keys for upgrade_batch. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UPGRADE_BATCH);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, UPGRADE_OLD_KEY);
} upgrade_keys SEC(".maps");

/* New keys for upgrade_list_batch, which puts the old ones into upgrade_keys. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UPGRADE_BATCH);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, UPGRADE_NEW_KEY);
} upgrade_new_keys SEC(".maps");

static __always_inline bool upgrade_equal(const void *a, const void *b, __u32 size)
{
	__u32 i = 0;

	for (; i + 8 <= size; i += 8)
		if (*(__u64 *)(a + i) != *(__u64 *)(b + i))
			return false;
	for (; i + 4 <= size; i += 4)
		if (*(__u32 *)(a + i) != *(__u32 *)(b + i))
			return false;
	for (; i < size; i++)
		if (*(__u8 *)(a + i) != *(__u8 *)(b + i))
			return false;
	return true;
}

/* If `from` is NULL, store zeroes. */
static __always_inline void upgrade_store(void *to, const void *from, __u32 size)
{
	__u32 i = 0;

	for (; i + 8 <= size; i += 8)
		*(volatile __u64 *)(to + i) = from ? *(__u64 *)(from + i) : 0;
	for (; i < size; i++)
		*(volatile __u8 *)(to + i) = from ? *(__u8 *)(from + i) : 0;
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
 * Take the lock of a key; interrupts stay off while it is held. If it cannot be
 * taken, count that and return NULL: in an NMI that interrupted the holder, or one
 * that waits for a CPU whose NMI waits for this one.
 */
static __always_inline struct upgrade_stripe *
upgrade_lock(const UPGRADE_NEW_KEY *key, unsigned long *flags)
{
	struct upgrade_spin spin = {};
	struct upgrade_stripe *s;
	__u32 hash = 2166136261;

	for (__u32 i = 0; i < sizeof(*key); i++)
		hash = (hash ^ ((const __u8 *)key)[i]) * 16777619;
	s = &upgrade_stripes[(hash ^ hash >> 16) % UPGRADE_STRIPES];

	bpf_local_irq_save(flags);
	spin.holder = &s->holder;
	spin.me = bpf_get_smp_processor_id() + 1;
	bpf_loop(UPGRADE_LOOPS, upgrade_spin_more, &spin, 0);
	if (spin.taken)
		return s;
	bpf_local_irq_restore(flags);
	__sync_fetch_and_add(&upgrade.lock_failures, 1);
	return NULL;
}

static __always_inline void upgrade_unlock(struct upgrade_stripe *s, unsigned long *flags)
{
	__sync_lock_test_and_set(&s->holder, 0);
	bpf_local_irq_restore(flags);
}

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

/* A lookup can miss an element that is being replaced, so try twice. */
static __always_inline void *upgrade_find_old(const UPGRADE_OLD_KEY *key, __u32 cpu)
{
	return upgrade_old_slot(key, cpu) ?: upgrade_old_slot(key, cpu);
}

/*
 * Read the old value and convert it into s->new; return false if there is none. An
 * element can be freed and reused for another key while it is read, so read until
 * two lookups agree. If the value is wrong even then, the change that made it so is
 * reported, and the key is looked at again.
 */
static __always_inline bool upgrade_read_old(const UPGRADE_OLD_KEY *key, __u32 cpu,
					     struct upgrade_stripe *s)
{
	void *slot = upgrade_find_old(key, cpu), *again;

	for (int i = 0; i < UPGRADE_READS && slot; i++) {
		bpf_probe_read_kernel(&s->old, sizeof(s->old), slot);
		again = upgrade_find_old(key, cpu);
		if (again == slot) {
			bpf_probe_read_kernel(&s->again, sizeof(s->again), again);
			if (upgrade_equal(&s->old, &s->again, sizeof(s->old)))
				break;
		}
		slot = again;
	}
	if (!slot)
		return false;
	upgrade_store(&s->new, NULL, sizeof(s->new));
	upgrade_convert_value(&s->old, &s->new);
	return true;
}

static __always_inline void upgrade_note_created(const UPGRADE_OLD_KEY *old_key)
{
	if (bpf_ringbuf_output(&upgrade_created, (void *)old_key, sizeof(*old_key),
			       BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&upgrade.unlisted, 1);
}

/* Write s->new to the element; create it if necessary. 0 or a negative errno. */
static __always_inline int upgrade_write_new(const UPGRADE_OLD_KEY *old_key,
					     const UPGRADE_NEW_KEY *key,
					     struct upgrade_stripe *s, bool create,
					     __u32 pass)
{
	int err = bpf_map_update_elem(&UPGRADE_NEW_MAP, key, &s->new, BPF_ANY);

	if (err)
		__sync_fetch_and_add(&upgrade.write_errors, 1);
	else if (create && pass >= UPGRADE_REFRESH)
		upgrade_note_created(old_key);
	return err;
}

/*
 * The functions from here to upgrade_sync() return 1 if the elements differed, 0 if
 * not, and a negative errno if the new map refused the change.
 */

/* The key is not in the old map, and the new version did not create it: drop it. */
static __always_inline int upgrade_drop(const UPGRADE_NEW_KEY *key, void *new, __u32 pass)
{
	int err;

	if (!new)
		return 0;
	if (pass >= UPGRADE_CHECK) {
		__sync_fetch_and_add(&upgrade.resurrected, 1);
		return 1;
	}
	err = bpf_map_delete_elem(&UPGRADE_NEW_MAP, key);
	if (err && upgrade_new_slot(key, 0)) {
		__sync_fetch_and_add(&upgrade.write_errors, 1);
		return err;
	}
	return 1;
}

static __always_inline int upgrade_sync_one(const UPGRADE_OLD_KEY *old_key,
					    const UPGRADE_NEW_KEY *key,
					    struct upgrade_stripe *s, __u32 pass)
{
	bool there = upgrade_read_old(old_key, 0, s);
	void *new = upgrade_new_slot(key, 0);

	if (!there)
		return upgrade_drop(key, new, pass);
	if (new && upgrade_equal(new, &s->new, sizeof(s->new)))
		return 0;
	if (pass < UPGRADE_CHECK)
		return upgrade_write_new(old_key, key, s, !new, pass) ?: 1;
	__sync_fetch_and_add(new ? &upgrade.stale : &upgrade.missing, 1);
	return 1;
}

/*
 * A program's update writes the slot of its own CPU only. So slots change hands one
 * by one; the element itself belongs to the new version once it owns any of them.
 */
static __always_inline int upgrade_sync_percpu(const UPGRADE_OLD_KEY *old_key,
					       const UPGRADE_NEW_KEY *key,
					       struct upgrade_stripe *s, __u64 owned,
					       __u32 pass)
{
	bool there = upgrade_find_old(old_key, 0);
	void *new = upgrade_new_slot(key, 0);
	int changed = 0, err;

	if (!there && !owned)
		return upgrade_drop(key, new, pass);
	if (!new) {
		if (owned)
			return 0;
		if (pass >= UPGRADE_CHECK) {
			__sync_fetch_and_add(&upgrade.missing, 1);
			return 1;
		}
		upgrade_store(&s->new, NULL, sizeof(s->new));
		err = upgrade_write_new(old_key, key, s, true, pass);
		if (err)
			return err;
		changed = 1;
	}
	for (__u32 cpu = 0; cpu < upgrade_config.nr_cpus && cpu < 64; cpu++) {
		if (owned >> cpu & 1)
			continue;
		if (!there || !upgrade_read_old(old_key, cpu, s))
			upgrade_store(&s->new, NULL, sizeof(s->new));
		new = upgrade_new_slot(key, cpu);
		if (!new)
			break;
		if (upgrade_equal(new, &s->new, sizeof(s->new)))
			continue;
		changed = 1;
		if (pass >= UPGRADE_CHECK)
			__sync_fetch_and_add(&upgrade.stale, 1);
		else
			upgrade_store(new, &s->new, sizeof(s->new));
	}
	/* The new version may have created the element, and it notes nothing. */
	if (changed && owned && pass < UPGRADE_CHECK)
		upgrade_note_created(old_key);
	return changed;
}

/*
 * Make the new map's element equal to the old map's, except for owned slots. The
 * caller holds the lock of the key. 0 or a negative errno.
 */
static __noinline __attribute__((unused)) int
upgrade_sync(const UPGRADE_OLD_KEY *old_key, const UPGRADE_NEW_KEY *key,
	     struct upgrade_stripe *s, __u64 owned, __u32 pass)
{
	int changed;

	if (owned == UPGRADE_ALL || pass >= UPGRADE_PASSES)
		return 0;
	if (pass == UPGRADE_CHECK_GONE && upgrade_find_old(old_key, 0))
		return 0;
	if (upgrade_config.percpu)
		changed = upgrade_sync_percpu(old_key, key, s, owned, pass);
	else
		changed = upgrade_sync_one(old_key, key, s, pass);
	__sync_fetch_and_add(&upgrade.visited[pass], 1);
	if (changed < 0)
		return changed;
	if (changed)
		__sync_fetch_and_add(&upgrade.changed[pass], 1);
	return 0;
}

static __always_inline __u64 upgrade_owner(const UPGRADE_NEW_KEY *key)
{
	__u64 *owned = bpf_map_lookup_elem(&upgrade_owned, key);

	return owned ? *owned : 0;
}

/* Make room to note the owner of a key, before it is known whether there will be one. */
static __always_inline int upgrade_reserve(const UPGRADE_NEW_KEY *key)
{
	__u64 nobody = 0;
	int err;

	if (bpf_map_lookup_elem(&upgrade_owned, key))
		return 0;
	err = bpf_map_update_elem(&upgrade_owned, key, &nobody, BPF_NOEXIST);
	if (err)
		__sync_fetch_and_add(&upgrade.own_failures, 1);
	return err;
}

/* Use the room to note that these slots are owned; give it back if none is. */
static __always_inline void upgrade_own(const UPGRADE_NEW_KEY *key, __u64 slots)
{
	__u64 *owned = bpf_map_lookup_elem(&upgrade_owned, key);

	if (!owned)
		return;
	*owned |= slots;
	if (!*owned)
		bpf_map_delete_elem(&upgrade_owned, key);
}

static __always_inline __u32 upgrade_phase(void)
{
	return *(volatile __u32 *)&upgrade.phase;
}

enum upgrade_op {
	UPGRADE_READ, UPGRADE_WRITE, UPGRADE_FORGET, UPGRADE_UPDATE, UPGRADE_DELETE,
};

/* Find the old key that becomes this new key; false if none does. */
static __always_inline bool upgrade_revert(const UPGRADE_NEW_KEY *key,
					   UPGRADE_OLD_KEY *old_key)
{
	UPGRADE_NEW_KEY again = {0};
	__u8 differ = 0;

	upgrade_revert_key(key, old_key);
	upgrade_convert_key(old_key, &again);
	/* Byte by byte: the stack is only aligned as the type requires. */
	for (__u32 i = 0; i < sizeof(again); i++)
		differ |= ((const __u8 *)key)[i] ^ ((__u8 *)&again)[i];
	return !differ;
}

/* Do the operation itself, for UPDATE and DELETE: 0 or a negative errno. */
static __always_inline long upgrade_plain(const UPGRADE_NEW_KEY *key,
					  const UPGRADE_NEW_VALUE *value, __u64 flags,
					  enum upgrade_op op)
{
	if (op == UPGRADE_UPDATE)
		return bpf_map_update_elem(&UPGRADE_NEW_MAP, key, value, flags);
	if (op == UPGRADE_DELETE)
		return bpf_map_delete_elem(&UPGRADE_NEW_MAP, key);
	return 0;
}

/* The caller holds the lock of the key. */
static __always_inline long upgrade_do_locked(const UPGRADE_OLD_KEY *old_key,
					      const UPGRADE_NEW_KEY *key,
					      struct upgrade_stripe *s,
					      const UPGRADE_NEW_VALUE *value, __u64 flags,
					      enum upgrade_op op, __u32 phase)
{
	__u64 slots = UPGRADE_ALL;
	long err;

	if (phase == UPGRADE_SWITCHED) {
		err = upgrade_sync(old_key, key, s, upgrade_owner(key), UPGRADE_REFRESH);
		if (err) {
			__sync_fetch_and_add(&upgrade.copy_failures, 1);
			return err;
		}
	}
	if (op == UPGRADE_READ)
		return 0;
	err = upgrade_reserve(key);
	if (err)
		return err;
	err = upgrade_plain(key, value, flags, op);
	if (upgrade_config.percpu && (op == UPGRADE_WRITE || op == UPGRADE_UPDATE))
		slots = 1ULL << (bpf_get_smp_processor_id() & 63);
	upgrade_own(key, err ? 0 : slots);
	return err;
}

static __always_inline long upgrade_do(const UPGRADE_NEW_KEY *key,
				       const UPGRADE_NEW_VALUE *value, __u64 flags,
				       enum upgrade_op op)
{
	UPGRADE_OLD_KEY old_key = {0};
	struct upgrade_stripe *s;
	unsigned long irq;
	__u32 phase;
	long err;

	if (!upgrade_config.enabled)
		return upgrade_plain(key, value, flags, op);
	phase = upgrade_phase();
	if (phase != UPGRADE_SWITCHED && (phase != UPGRADE_SETTLED || op == UPGRADE_READ))
		return upgrade_plain(key, value, flags, op);
	if (!upgrade_revert(key, &old_key))
		return upgrade_plain(key, value, flags, op);
	s = upgrade_lock(key, &irq);
	if (!s)
		return -UPGRADE_EBUSY;
	err = upgrade_do_locked(&old_key, key, s, value, flags, op, phase);
	upgrade_unlock(s, &irq);
	return err;
}

/* Does the new version handle this event? Ask once per event. */
static __always_inline bool upgrade_active(void)
{
	return !upgrade_config.enabled || upgrade_phase() != UPGRADE_WATCHING;
}

static __noinline __attribute__((unused)) long
upgrade_before_read(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_READ);
}

static __noinline __attribute__((unused)) long
upgrade_before_write(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_WRITE);
}

static __noinline __attribute__((unused)) long
upgrade_before_delete(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_FORGET);
}

/* Like bpf_map_update_elem() and bpf_map_delete_elem() on the new map. */
static __noinline __attribute__((unused)) long
upgrade_update_elem(const UPGRADE_NEW_KEY *key, const UPGRADE_NEW_VALUE *value,
		    __u64 flags)
{
	return upgrade_do(key, value, flags, UPGRADE_UPDATE);
}

static __noinline __attribute__((unused)) long
upgrade_delete_elem(const UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_DELETE);
}

/* From here on, the programs that the library loads and attaches. */

static __always_inline void upgrade_mark(struct bpf_map *map, void *key)
{
	UPGRADE_OLD_KEY old_key = {0};

	if (map != (struct bpf_map *)&UPGRADE_OLD_MAP)
		return;
	__sync_fetch_and_add(&upgrade.reported, 1);
	if (bpf_probe_read_kernel(&old_key, sizeof(old_key), key) ||
	    bpf_ringbuf_output(&upgrade_marks, &old_key, sizeof(old_key),
			       BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&upgrade.unmarked, 1);
}

SEC("?fentry/bpf_map_trace_update_elem")
int BPF_PROG(upgrade_mark_update, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

SEC("?fentry/bpf_map_trace_delete_elem")
int BPF_PROG(upgrade_mark_delete, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

/* For a process that is about to change the new map: upgrade_claim() in upgrade.h. */
SEC("?syscall")
int upgrade_claim(UPGRADE_NEW_KEY *key)
{
	UPGRADE_NEW_KEY claimed = *key;

	return upgrade_active() ? upgrade_before_delete(&claimed) : 1;
}

static __noinline __attribute__((unused)) int
upgrade_move(const UPGRADE_OLD_KEY *old_key)
{
	UPGRADE_NEW_KEY key = {0};
	struct upgrade_stripe *s;
	unsigned long irq;
	__u64 owned;

	upgrade_convert_key(old_key, &key);
	s = upgrade_lock(&key, &irq);
	if (!s)
		return 0;
	owned = upgrade_owner(&key);
	if (owned)
		__sync_fetch_and_add(&upgrade.kept, 1);
	upgrade_sync(old_key, &key, s, owned, upgrade.pass);
	upgrade_unlock(s, &irq);
	return 0;
}

/* Over the old map. Write a byte per element, so that read() returns now and then. */
SEC("?iter/bpf_map_elem")
int upgrade_copy(struct bpf_iter__bpf_map_elem *ctx)
{
	UPGRADE_OLD_KEY *key = ctx->key, old_key;
	char one = 1;

	if (!key)
		return 0;
	old_key = *key;
	upgrade.keys++;
	upgrade_move(&old_key);
	bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}

/* Over the new map: write its keys, as old keys. */
SEC("?iter/bpf_map_elem")
int upgrade_list(struct bpf_iter__bpf_map_elem *ctx)
{
	UPGRADE_NEW_KEY *key = ctx->key, new_key;
	UPGRADE_OLD_KEY old_key = {0};

	if (!key)
		return 0;
	new_key = *key;
	upgrade_revert_key(&new_key, &old_key);
	bpf_seq_write(ctx->meta->seq, &old_key, sizeof(old_key));
	return 0;
}

static long upgrade_batch_one(__u32 i, void *ctx)
{
	UPGRADE_OLD_KEY *key = bpf_map_lookup_elem(&upgrade_keys, &i), old_key;

	if (!key)
		return 1;
	old_key = *key;
	upgrade_move(&old_key);
	return 0;
}

SEC("?syscall")
int upgrade_batch(void *ctx)
{
	bpf_loop(upgrade.batch, upgrade_batch_one, NULL, 0);
	return 0;
}

static long upgrade_list_one(__u32 i, void *ctx)
{
	UPGRADE_NEW_KEY *key = bpf_map_lookup_elem(&upgrade_new_keys, &i), new_key;
	UPGRADE_OLD_KEY *old = bpf_map_lookup_elem(&upgrade_keys, &i), old_key = {0};

	if (!key || !old)
		return 1;
	new_key = *key;
	upgrade_revert_key(&new_key, &old_key);
	*old = old_key;
	return 0;
}

SEC("?syscall")
int upgrade_list_batch(void *ctx)
{
	bpf_loop(upgrade.batch, upgrade_list_one, NULL, 0);
	return 0;
}

#endif /* UPGRADE_BPF_H */
