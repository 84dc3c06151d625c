/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which events the new version handles, while the old one is still attached. */
#ifndef UPGRADE_EVENTS_BPF_H
#define UPGRADE_EVENTS_BPF_H

#include <bpf/bpf_helpers.h>
#include "state.h"

#define UPGRADE_PROBES 16

/*
 * A set: an element is in the first of UPGRADE_PROBES places that was free, and none is
 * ever removed. Not a hash map, which takes a lock to count its elements if it is large:
 * an NMI may interrupt who holds that.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} upgrade_events SEC(".maps");

static __always_inline __u64 *upgrade_event_place(__u64 event, __u32 probe)
{
	__u32 hash = (event >> 3) * 0x9e3779b97f4a7c15ULL >> 32;
	__u32 index = (hash + probe) % UPGRADE_EVENTS;

	return bpf_map_lookup_elem(&upgrade_events, &index);
}

/* Add an event; false if there is no room. */
static __always_inline bool upgrade_add_event(__u64 event)
{
	for (__u32 i = 0; i < UPGRADE_PROBES; i++) {
		__u64 *place = upgrade_event_place(event, i), there;

		if (!place)
			break;
		there = __sync_val_compare_and_swap(place, 0, event);
		if (!there || there == event)
			return true;
	}
	return false;
}

static __always_inline bool upgrade_has_event(__u64 event)
{
	for (__u32 i = 0; i < UPGRADE_PROBES; i++) {
		__u64 *place = upgrade_event_place(event, i), there;

		there = place ? *(volatile __u64 *)place : 0;
		if (!there || there == event)
			return there;
	}
	return false;
}

#endif /* UPGRADE_EVENTS_BPF_H */
