// SPDX-License-Identifier: GPL-2.0-only
/* Both ends of a wire with a connection tracker in between: packets and the truth. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include "upgrade_conntrack.h"

char LICENSE[] SEC("license") = "GPL";

__u32 first, count;	/* known flows to send packets of, in turn */
__u32 rare = 1;		/* one in so many packets is of another flow: 0: none, 1: all */
__u64 sent[CT_SENDERS];
__u32 turn[CT_SENDERS], others[CT_SENDERS];
__u32 nth[CT_KNOWN];	/* packets of the connection so far */
__s64 base[CT_KNOWN];	/* of these, not known to the version any more */
struct ct_counts counts;

static void address(struct ct_packet *p, __u32 flow)
{
	p->flow.saddr = 0x0a000000 + flow;
	p->flow.daddr = 0x0b000001;
	p->flow.sport = flow % 60000 + 1024;
	p->flow.dport = 443;
}

/* Each CPU has flows of its own, whose packets stay in order. */
SEC("xdp")
int send(struct xdp_md *ctx)
{
	struct ct_packet *p = (void *)(long)ctx->data;
	__u32 cpu = bpf_get_smp_processor_id() % CT_SENDERS, flow, i;

	if ((void *)(p + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	p->proto = CT_TCP;
	p->verdict = CT_UNJUDGED;
	p->last = 0;
	p->nth = 0;
	sent[cpu]++;
	if (rare && sent[cpu] % rare == 0) {
		flow = CT_KNOWN + CT_SENDERS * others[cpu]++ + cpu;
	} else {
		i = turn[cpu]++;
		if (rare)	/* every second one is of a few busy flows */
			i = i % 2 ? i / 2 % CT_BUSY : i / 2;
		flow = first + CT_SENDERS * (i % (count / CT_SENDERS)) + cpu;
		if (flow >= CT_KNOWN)
			return XDP_DROP;
		p->nth = nth[flow];
		p->last = nth[flow] == CT_PACKETS - 1;
		nth[flow] = p->last ? 0 : nth[flow] + 1;
	}
	p->known = flow;
	address(p, flow);
	return XDP_PASS;
}

/* A mistake counts once: from then on, the version is right if it goes on from there. */
static void judge(const struct ct_packet *p)
{
	__u32 known = p->known;
	__s64 expected;

	if (known >= CT_KNOWN) {
		__sync_fetch_and_add(&counts.new_flows, 1);
		if (p->verdict)
			__sync_fetch_and_add(&counts.resurrected, 1);
		return;
	}
	expected = p->nth - base[known];
	if (p->verdict != expected)
		__sync_fetch_and_add(!p->verdict ? &counts.forgotten :
				     !expected ? &counts.resurrected : &counts.stale, 1);
	base[known] = p->last ? 0 : (__s64)p->nth - p->verdict;
}

SEC("tcx/ingress")
int receive(struct __sk_buff *skb)
{
	struct ct_packet *p = (void *)(long)skb->data;

	if ((void *)(p + 1) > (void *)(long)skb->data_end)
		return TCX_PASS;
	__sync_fetch_and_add(&counts.passed, 1);
	if (p->verdict == CT_UNJUDGED)
		return TCX_DROP;
	__sync_fetch_and_add(p->version == 1 ? &counts.by_old : &counts.by_new, 1);
	judge(p);
	return TCX_DROP;
}
