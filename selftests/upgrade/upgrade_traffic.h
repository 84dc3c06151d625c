/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that send the packets of upgrade_wire.bpf.c, each on a CPU of its own. */
#ifndef UPGRADE_TRAFFIC_H
#define UPGRADE_TRAFFIC_H

#include <pthread.h>
#include <unistd.h>
#include "bpf_harness.h"
#include "upgrade_conntrack.h"
#include "upgrade_wire.skel.h"

#define BURST 64		/* packets that a CPU receives at a time */
#define FOREVER (-1)		/* instead of a number of packets */

struct traffic {
	struct upgrade_wire *wire;
	struct sender {
		pthread_t thread;
		struct bpf_program *prog;
		int cpu, packets, err;
		bool stop;
	} senders[CT_SENDERS];
};

/* The kernel passes these on as if they had arrived on the loopback device. */
static void *traffic_run(void *arg)
{
	struct ct_packet packet = { .ethertype = { 0x88, 0xb5 } };	/* for experiments */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .data_in = &packet, .data_size_in = sizeof(packet),
		    .batch_size = BURST, .repeat = BURST);
	struct sender *s = arg;

	use_cpu(s->cpu);
	while (!s->err && s->packets && !__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
		s->err = bpf_prog_test_run_opts(bpf_program__fd(s->prog), &opts);
		if (s->packets == FOREVER)
			usleep(1000);
		else
			s->packets -= BURST;
	}
	return NULL;
}

/* Of these known flows, in turn, and one in `rare` of another one. */
static inline void traffic_start(struct traffic *t, __u32 first, __u32 count, __u32 rare,
				 int packets)
{
	t->wire->bss->first = first;
	t->wire->bss->count = count;
	t->wire->data->rare = rare;
	for (int i = 0; i < CT_SENDERS; i++) {
		struct sender *s = &t->senders[i];

		*s = (struct sender){
			.prog = t->wire->progs.send, .cpu = i,
			.packets = packets == FOREVER ? FOREVER : packets / CT_SENDERS,
		};
		pthread_create(&s->thread, NULL, traffic_run, s);
	}
}

static inline int traffic_join(struct traffic *t)
{
	int err = 0;

	for (int i = 0; i < CT_SENDERS; i++) {
		pthread_join(t->senders[i].thread, NULL);
		err = err ?: t->senders[i].err;
	}
	return err;
}

static inline int traffic_stop(struct traffic *t)
{
	for (int i = 0; i < CT_SENDERS; i++)
		__atomic_store_n(&t->senders[i].stop, true, __ATOMIC_SEQ_CST);
	return traffic_join(t);
}

static inline int traffic_send(struct traffic *t, __u32 first, __u32 count, __u32 rare,
			       int packets)
{
	traffic_start(t, first, count, rare, packets);
	return traffic_join(t);
}

static inline __u64 traffic_sent(struct traffic *t)
{
	return t->wire->bss->sent[0] + t->wire->bss->sent[1];
}

static inline void traffic_wait(struct traffic *t, __u32 packets)
{
	for (__u64 end = traffic_sent(t) + packets; traffic_sent(t) < end; )
		usleep(1000);
}

#endif /* UPGRADE_TRAFFIC_H */
