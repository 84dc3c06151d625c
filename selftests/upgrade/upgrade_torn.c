// SPDX-License-Identifier: GPL-2.0-only
/* What overlapping operations leave in a map, and what the judge makes of it. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "bpf_harness.h"
#include "upgrade_judge.h"
#include "upgrade_torn.h"
#include "upgrade_torn.skel.h"

#define KEY 5
#define TRIES 100		/* until a tick interrupts the first update halfway */

static char buffer[3][TORN_SIZE];

/* Fill the element with that byte. */
static int update(struct upgrade_torn *torn, int byte)
{
	__u32 zero = 0;

	return bpf_map_update_elem(bpf_map__fd(torn->maps.torn_map), &zero, buffer[byte],
				   BPF_ANY);
}

static int ready;		/* the second CPU is */
static int tried;		/* the first update has ended */

static void *update_second(void *arg)
{
	struct upgrade_torn *torn = arg;

	use_cpu(1);
	__atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&torn->bss->halfway, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&tried, __ATOMIC_SEQ_CST))
		;
	if (torn->bss->halfway)
		update(torn, TORN_SECOND);
	return NULL;
}

/* The kernel itself leaves a mix, and this is why the judge allows for it. */
TEST(kernel_mixes_array_elements)
{
	struct torn_value *value = malloc(sizeof(*value));
	struct upgrade_torn *torn = upgrade_torn__open_and_load();
	bool is_torn = false;
	int halfway = 0;
	pthread_t second;
	__u32 zero = 0;
	int map;

	ASSERT_NE(NULL, torn);
	map = bpf_map__fd(torn->maps.torn_map);
	for (int byte = 0; byte <= TORN_SECOND; byte++)
		memset(buffer[byte], byte, TORN_SIZE);
	use_cpu(0);
	ASSERT_EQ(0, upgrade_torn__attach(torn));
	for (int i = 0; i < TRIES && !is_torn; i++) {
		ready = 0;
		tried = 0;
		torn->bss->halfway = 0;
		ASSERT_EQ(0, update(torn, 0));
		ASSERT_EQ(0, pthread_create(&second, NULL, update_second, torn));
		while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
			sched_yield();
		torn->bss->armed = 1;
		EXPECT_EQ(0, update(torn, TORN_FIRST));
		torn->bss->armed = 0;
		__atomic_store_n(&tried, 1, __ATOMIC_SEQ_CST);
		pthread_join(second, NULL);
		ASSERT_EQ(0, bpf_map_lookup_elem(map, &zero, value));
		halfway += torn->bss->halfway;
		is_torn = value->byte[0] + value->byte[TORN_SIZE - 1] ==
			  TORN_FIRST + TORN_SECOND;
	}
	EXPECT_TRUE(is_torn) TH_LOG("halfway in %d of %d tries", halfway, TRIES);
	free(value);
	upgrade_torn__destroy(torn);
}

FIXTURE(judge)
{
	struct load *load;
	struct new_value a, b;
};

FIXTURE_VARIANT(judge)
{
	__u32 type;
	bool array;
};

FIXTURE_VARIANT_ADD(judge, array) { BPF_MAP_TYPE_ARRAY, true };
FIXTURE_VARIANT_ADD(judge, hash) { BPF_MAP_TYPE_HASH, false };

/* Two writers updated a key, at about the same time. */
FIXTURE_SETUP(judge)
{
	struct load *load = calloc(1, sizeof(*load));

	ASSERT_NE(NULL, load);
	self->load = load;
	self->a = (struct new_value){ 0x1000001, LOAD_CHECK(0x1000001) };
	self->b = (struct new_value){ 0x2000002, LOAD_CHECK(0x2000002) };
	load->array = variant->array;
	load->old_fd = bpf_map_create(variant->type, "old", 4, 4, LOAD_KEYS, NULL);
	load->new_fd = bpf_map_create(variant->type, "new", 4, sizeof(self->a),
				      LOAD_KEYS + LOAD_SHIFT, NULL);
	ASSERT_LE(0, load->old_fd);
	ASSERT_LE(0, load->new_fd);
	load->writer[0].history[KEY].key = (struct record){ 10, 30, self->a.stamp };
	load->writer[1].history[KEY].key = (struct record){ 20, 40, self->b.stamp };
}

FIXTURE_TEARDOWN(judge)
{
	close(self->load->old_fd);
	close(self->load->new_fd);
	free(self->load);
}

/* Does the judge accept this value? */
static bool accepts(FIXTURE_DATA(judge) *self, struct new_value value)
{
	__u32 key = KEY + LOAD_SHIFT;
	struct verdict v;

	for (int i = 0; i < 2; i++) {
		struct history *h = &self->load->writer[i].history[KEY];

		h->slot[0] = h->key;
	}
	bpf_map_update_elem(self->load->new_fd, &key, &value, BPF_ANY);
	load_judge(self->load, &v);
	return !v.lost && !v.stale && !v.resurrected;
}

TEST_F(judge, one_or_the_other)
{
	EXPECT_TRUE(accepts(self, self->a));
	EXPECT_TRUE(accepts(self, self->b));
	EXPECT_FALSE(accepts(self, (struct new_value){ 0x1000003, LOAD_CHECK(0x1000003) }));
}

TEST_F(judge, mix_in_the_new_map)
{
	struct new_value mix = { self->a.stamp, self->b.check };

	EXPECT_EQ(variant->array, accepts(self, mix));
	mix.check ^= 0x100;
	EXPECT_FALSE(accepts(self, mix));
}

TEST_F(judge, mix_in_the_old_map)
{
	struct new_value mix = { 0x1000002, LOAD_CHECK(0x1000002) };

	EXPECT_EQ(variant->array, accepts(self, mix));
}

/* The first update had ended when the second began. */
TEST_F(judge, mix_without_overlap)
{
	struct new_value mix = { self->a.stamp, self->b.check };

	self->load->writer[0].history[KEY].key.end = 15;
	EXPECT_FALSE(accepts(self, mix));
	EXPECT_FALSE(accepts(self, self->a));
	EXPECT_TRUE(accepts(self, self->b));
}

TEST_HARNESS_MAIN
