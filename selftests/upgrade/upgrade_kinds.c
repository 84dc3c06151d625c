// SPDX-License-Identifier: GPL-2.0-only
/* bpf-upgrade with maps of other types, while the program counts on two CPUs. */
#include <sys/mman.h>
#include "upgrade_tool.h"
#include "upgrade_tool_lru.skel.h"
#include "upgrade_tool_percpu.skel.h"

#define CPUS 2
#define ELEMENTS 200		/* more than an LRU map of 64 holds */
#define TENFOLD(key) (10 * (key))

/* A process that makes the calls that are counted. */
struct caller {
	pid_t pid;
	bool stop;
	__u64 called;
};

static struct caller *start_calls(int cpu)
{
	struct caller *caller = mmap(NULL, sizeof(*caller), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	caller->pid = fork();
	if (caller->pid)
		return caller;
	use_cpu(cpu);
	for (; !__atomic_load_n(&caller->stop, __ATOMIC_SEQ_CST); caller->called++) {
		call(1);
		usleep(500);
	}
	exit(0);
}

static __u64 end_calls(struct caller *caller)
{
	__atomic_store_n(&caller->stop, true, __ATOMIC_SEQ_CST);
	waitpid(caller->pid, NULL, 0);
	return caller->called;
}

/* Ask for a plan first: it names the types. */
static void upgrade_kind(struct __test_metadata *_metadata, const char *type)
{
	char line[128];

	run(&told, "plan", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	snprintf(line, sizeof(line), "old map    pins/counts, %s of 64,", type);
	EXPECT_NE(NULL, strstr(told.out, line)) TH_LOG("%s", told.out);
	snprintf(line, sizeof(line), "new map    new.o/counts, %s of 64,", type);
	EXPECT_NE(NULL, strstr(told.out, line)) TH_LOG("%s", told.out);
	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	EXPECT_NE(NULL, strstr(told.out, "upgraded pins: ")) TH_LOG("%s", told.out);
}

/* Each CPU has a count of its own. */
TEST_F_TIMEOUT(tool, percpu, SECONDS)
{
	struct count counts[CPUS] = {};
	struct caller *callers[CPUS];
	__u32 pid = PID, other = PID + 1;
	__u64 old[CPUS] = { 1000, 2000 };	/* a slot has a multiple of eight bytes */
	int map;

	ASSERT_EQ(CPUS, libbpf_num_possible_cpus());
	PUT_OBJECT("new.o", upgrade_tool_percpu);
	restart_old(_metadata, self, BPF_MAP_TYPE_PERCPU_HASH);
	map = bpf_obj_get("pins/counts");
	ASSERT_EQ(0, bpf_map_update_elem(map, &other, old, BPF_ANY));
	close(map);
	for (int cpu = 0; cpu < CPUS; cpu++)
		callers[cpu] = start_calls(cpu);
	upgrade_kind(_metadata, "PERCPU_HASH");
	usleep(10000);
	map = bpf_obj_get("pins/counts");
	for (int cpu = 0; cpu < CPUS; cpu++)
		old[cpu] = end_calls(callers[cpu]);
	EXPECT_EQ(0, bpf_map_lookup_elem(map, &pid, counts));
	for (int cpu = 0; cpu < CPUS; cpu++) {
		EXPECT_EQ(old[cpu], counts[cpu].calls);
		EXPECT_LT(0, counts[cpu].by_new);
		EXPECT_GT(old[cpu], counts[cpu].by_new);
	}
	EXPECT_EQ(0, bpf_map_lookup_elem(map, &other, counts));
	for (int cpu = 0; cpu < CPUS; cpu++) {
		EXPECT_EQ(1000 * (cpu + 1), counts[cpu].calls);
		EXPECT_EQ(0, counts[cpu].by_new);
	}
	close(map);
}

/* The new map is as full as the old one: what it has forgotten, the command says. */
TEST_F_TIMEOUT(tool, lru, SECONDS)
{
	unsigned long long elements = 0, missing = 0;
	struct caller *caller;
	struct count count;
	__u32 found = 0;
	char *line;
	int map;

	use_cpu(0);	/* each has free elements of its own */
	PUT_OBJECT("new.o", upgrade_tool_lru);
	restart_old(_metadata, self, BPF_MAP_TYPE_LRU_HASH);
	map = bpf_obj_get("pins/counts");
	for (__u32 key = 1; key <= ELEMENTS; key++) {
		count = (struct count){ .calls = TENFOLD(key) };	/* the old one's, too */
		ASSERT_EQ(0, bpf_map_update_elem(map, &key, &count, BPF_ANY));
	}
	close(map);
	caller = start_calls(0);
	upgrade_kind(_metadata, "LRU_HASH");
	EXPECT_EQ(1, sscanf(told.out, "upgraded pins: %llu elements", &elements));
	line = strchr(told.out, '\n');
	line = line ? strchr(line + 1, '\n') : NULL;
	EXPECT_EQ(1, line ? sscanf(line, "\n%llu elements are missing in the new LRU map\n",
				   &missing) : 0) TH_LOG("%s", told.out);
	map = bpf_obj_get("pins/counts");
	for (__u32 key = 1; key <= ELEMENTS; key++)
		if (!bpf_map_lookup_elem(map, &key, &count)) {
			EXPECT_EQ(TENFOLD(key), count.calls);
			found++;
		}
	close(map);
	EXPECT_LT(0, missing);
	EXPECT_LT(0, found);
	EXPECT_EQ(elements, found + 1 + missing) TH_LOG("with that of the calls");
	expect_new(_metadata, self, end_calls(caller));
}

TEST_HARNESS_MAIN
