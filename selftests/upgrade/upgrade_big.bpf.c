// SPDX-License-Identifier: GPL-2.0-only
/* A new version for maps with large keys and values. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "upgrade_big.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct big_key);
	__type(value, struct big_value);
} old_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct big_key);
	__type(value, struct big_value);
} new_map SEC(".maps");

#define UPGRADE_OLD_MAP old_map
#define UPGRADE_NEW_MAP new_map
#define UPGRADE_OLD_KEY struct big_key
#define UPGRADE_OLD_VALUE struct big_value
#define UPGRADE_NEW_KEY struct big_key
#define UPGRADE_NEW_VALUE struct big_value

static __always_inline void upgrade_convert_key(const struct big_key *old,
						struct big_key *new)
{
	for (int i = 0; i < BIG_KEY; i++)
		new->word[i] = old->word[BIG_KEY - 1 - i];
}

static __always_inline void upgrade_revert_key(const struct big_key *new,
					       struct big_key *old)
{
	upgrade_convert_key(new, old);
}

static __always_inline void upgrade_convert_value(const struct big_value *old,
						  struct big_value *new)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < BIG_VALUE; i++)
		new->word[i] = ~old->word[i];
}

#include "upgrade.bpf.h"

/* As large as what the program asks with can be: on its stack. */
SEC("fentry/__x64_sys_getpgid")
int on_event(void *ctx)
{
	struct big_key key;

	if (!upgrade_active())
		return 0;
	for (int i = 0; i < BIG_KEY; i++)
		key.word[i] = 1;
	upgrade_before_read(&key);
	return 0;
}

SEC("syscall")
int new_op(struct big_op *op)
{
	op->result = upgrade_active() ? upgrade_update_elem(&op->key, &op->value, BPF_ANY) : 1;
	return 0;
}
