/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs that the library loads, attaches and runs. */
/* Old keys that were reported. Writing to a ring buffer calls no hook. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} upgrade_marks SEC(".maps");

/* For upgrade_batch. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UPGRADE_BATCH);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, union {
		UPGRADE_OLD_KEY old_key;
		UPGRADE_NEW_KEY key;
	});
} upgrade_keys SEC(".maps");

/* The keys that the mover is at. There is one mover. */
static struct {
	UPGRADE_OLD_KEY old_key __attribute__((aligned(8)));
	UPGRADE_NEW_KEY key __attribute__((aligned(8)));
} upgrade_mover SEC(".bss.upgrade");

static __always_inline void upgrade_mark(struct bpf_map *map, void *key)
{
	UPGRADE_OLD_KEY *mark;

	if (map != (struct bpf_map *)&UPGRADE_OLD_MAP)
		return;
	__sync_fetch_and_add(&upgrade_pair.reported, 1);
	mark = bpf_ringbuf_reserve(&upgrade_marks, sizeof(*mark), 0);
	if (!mark) {
		__sync_fetch_and_add(&upgrade_pair.unmarked, 1);
		return;
	}
	upgrade_copy_bytes(mark, key, sizeof(*mark));
	bpf_ringbuf_submit(mark, BPF_RB_NO_WAKEUP);
}

SEC("?fentry/bpf_map_trace_update_elem")
int UPGRADE_PROG(upgrade_mark_update, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

SEC("?fentry/bpf_map_trace_delete_elem")
int UPGRADE_PROG(upgrade_mark_delete, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

/*
 * On kernels without the hooks, these two are attached to functions of the old map's type
 * instead, and so are the following: watch.c says to which. They begin with the same
 * arguments.
 */
SEC("?fentry")
int UPGRADE_PROG(upgrade_mark_all_cpus, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

SEC("?fentry")
int UPGRADE_PROG(upgrade_mark_take, struct bpf_map *map, void *key)
{
	upgrade_mark(map, key);
	return 0;
}

/* It has yet to find out which keys there are. */
SEC("?fentry")
int UPGRADE_PROG(upgrade_mark_batch, struct bpf_map *map)
{
	if (map != (struct bpf_map *)&UPGRADE_OLD_MAP)
		return 0;
	__sync_fetch_and_add(&upgrade_pair.reported, 1);
	__sync_fetch_and_add(&upgrade_pair.unmarked, 1);
	return 0;
}

/* For a process that is about to change the new map: upgrade_claim() in upgrade.h. */
SEC("?syscall")
int upgrade_claim(UPGRADE_NEW_KEY *key)
{
	return upgrade_do(key, NULL, 0, UPGRADE_CLAIM);
}

/* Move the element of upgrade_mover.old_key. */
__noinline int upgrade_move(void)
{
	unsigned long irq;
	struct upgrade_stripe *s;
	__u32 hash;

	upgrade_zero_bytes(&upgrade_mover.key, sizeof(upgrade_mover.key));
	upgrade_convert_key(&upgrade_mover.old_key, &upgrade_mover.key);
	hash = upgrade_hash(&upgrade_mover.key);
	if (!upgrade_lock(hash, &irq)) {
		__sync_fetch_and_add(&upgrade_pair.skipped, 1);
		return 0;
	}
	s = upgrade_stripe(hash);
	upgrade_copy_bytes(&s->key, &upgrade_mover.key, sizeof(s->key));
	upgrade_copy_bytes(&s->old_key, &upgrade_mover.old_key, sizeof(s->old_key));
	upgrade_find_owner(s);
	if (upgrade_owns_any(s))
		__sync_fetch_and_add(&upgrade_pair.kept, 1);
	upgrade_sync(hash, upgrade_pair.pass);
	upgrade_unlock(hash, &irq);
	return 0;
}

/* Over the old map. Write a byte per element, so that read() returns now and then. */
SEC("?iter/bpf_map_elem")
int upgrade_copy(struct bpf_iter__bpf_map_elem *ctx)
{
	char one = 1;

	if (!ctx->key)
		return 0;
	upgrade_copy_bytes(&upgrade_mover.old_key, ctx->key, sizeof(upgrade_mover.old_key));
	upgrade_pair.keys++;
	upgrade_move();
	bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
	return 0;
}

static long upgrade_batch_one(__u32 i, void *ctx)
{
	void *key = bpf_map_lookup_elem(&upgrade_keys, &i);

	if (!key)
		return 1;
	if (upgrade_pair.batch_of_new) {
		upgrade_copy_bytes(&upgrade_mover.key, key, sizeof(upgrade_mover.key));
		upgrade_zero_bytes(&upgrade_mover.old_key, sizeof(upgrade_mover.old_key));
		upgrade_revert_key(&upgrade_mover.key, &upgrade_mover.old_key);
	} else {
		upgrade_copy_bytes(&upgrade_mover.old_key, key, sizeof(upgrade_mover.old_key));
	}
	upgrade_move();
	return 0;
}

SEC("?syscall")
int upgrade_batch(void *ctx)
{
	bpf_loop(upgrade_pair.batch, upgrade_batch_one, NULL, 0);
	return 0;
}
