/* SPDX-License-Identifier: GPL-2.0-only */
/* The packets of upgrade_conntrack.c, and what its programs count. */
#ifndef UPGRADE_CONNTRACK_H
#define UPGRADE_CONNTRACK_H

#define CT_ENTRIES 8192		/* of both maps */
#define CT_LIVE 1024		/* flows that have packets all the time */
#define CT_BUSY 16		/* of these and of a CPU; they have half of all packets */
#define CT_IDLE 1024		/* flows that have none during the upgrade */
#define CT_KNOWN (CT_LIVE + CT_IDLE)	/* all others are of one packet */
#define CT_PACKETS 50		/* of a connection; then the flow begins anew */
#define CT_SENDERS 2		/* each on a CPU of its own, with flows of its own */
#define CT_UNJUDGED (~0U)
#define CT_TCP 6

struct ct_old_key {
	__u32 saddr, daddr;
	__u16 sport, dport;
};

struct ct_old_value {
	__u32 packets;
};

/* The new version can tell protocols apart, and counts bytes. */
struct ct_new_key {
	__u32 saddr, daddr;
	__u16 sport, dport;
	__u8 proto, zero[3];
};

struct ct_new_value {
	__u64 packets;
	__u64 bytes;
};

struct ct_packet {
	__u8 to[6], from[6];
	__u8 ethertype[2];
	__u8 proto;
	__u8 last;		/* of its connection */
	struct ct_old_key flow;
	__u32 verdict;		/* of a version: packets of the connection before it */
	__u32 version;		/* which one */
	/* The truth, which the versions do not look at: */
	__u32 known;		/* number of the flow, if it is below CT_KNOWN */
	__u32 nth;
};

struct ct_counts {
	__u64 passed, by_old, by_new;
	__u64 new_flows;	/* of one packet */
	__u64 forgotten;	/* known, but judged new */
	__u64 resurrected;	/* new, but judged known */
	__u64 stale;		/* judged by an older state */
};

#endif /* UPGRADE_CONNTRACK_H */
