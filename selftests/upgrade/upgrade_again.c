// SPDX-License-Identifier: GPL-2.0-only
/* bpf-upgrade run is killed before the switch, and run again. */
#include <errno.h>
#include <linux/bpf.h>
#include "upgrade_stop.h"
#include "upgrade_tool.h"

#define KEYS 32			/* that a writer in user space changes */
#define RARE (KEYS / 2)		/* of these, it writes once */
#define PATIENCE 60000		/* ms for it to do anything */

/* Shared by a writer and the test. */
struct writer {
	pid_t pid;
	bool stop;
	__u32 last[KEYS];	/* value of each key */
	__u32 written, called;
	__u32 asked;		/* how often it had to ask again which map to change */
	__u32 refused;		/* changes that failed otherwise */
};

static int put(const char *path, __u32 key, __u32 value)
{
	struct count count = { .calls = value };	/* of either version */
	int map = bpf_obj_get(path), err;

	err = map < 0 ? map : bpf_map_update_elem(map, &key, &count, BPF_ANY);
	if (map >= 0)
		close(map);
	return err;
}

static int may_change_new(__u32 key)
{
	int claim = bpf_obj_get("pins/upgrade/upgrade_claim"), err;

	if (claim < 0)
		return 1;
	err = upgrade_claim(claim, &key, sizeof(key));
	close(claim);
	return err;
}

/* As README.md asks of whoever gets -EPERM; an upgrade may end at any moment. */
static void write_element(struct writer *w, __u32 key, __u32 value)
{
	int err = -EPERM;

	while (err && !__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
		err = put("pins/counts", key, value);
		if (err == -EPERM) {
			err = may_change_new(key) ?: put("pins/upgrade/counts", key, value);
			if (err == 1)
				w->asked++;
		}
		if (err < 0 && err != -ENOENT)
			w->refused++;
		usleep(1000);
	}
	if (!err) {
		w->last[key] = value;
		w->written++;
	}
}

static struct writer *start_writer(void)
{
	struct writer *w = mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	w->pid = fork();
	if (w->pid)
		return w;
	for (__u32 i = 0; !w->stop; i++) {
		call(1);
		w->called++;
		write_element(w, i < KEYS ? i : RARE + i % (KEYS - RARE), i + 1);
	}
	exit(0);
}

/* Does it go on, by so many? */
static bool goes_on(const __u32 *number, __u32 more)
{
	__u32 end = __atomic_load_n(number, __ATOMIC_SEQ_CST) + more;

	for (int ms = 0; ms < PATIENCE; ms++) {
		if (__atomic_load_n(number, __ATOMIC_SEQ_CST) >= end)
			return true;
		usleep(1000);
	}
	return false;
}

static __u32 element(__u32 key)
{
	struct count count = {};
	int map = bpf_obj_get("pins/counts");

	bpf_map_lookup_elem(map, &key, &count);
	close(map);
	return count.calls;
}

static void kill_and_run_again(struct __test_metadata *_metadata, FIXTURE_DATA(tool) *self,
			       bool (*here)(const struct system_call *),
			       const char *no_resume, bool frozen)
{
	struct writer *w;
	struct told dead;
	__u64 calls;

	let_go(self);
	w = start_writer();
	EXPECT_TRUE(goes_on(&w->written, KEYS));
	ASSERT_TRUE(stop(&dead, here, "run", "pins", "new.o")) TH_LOG("%s", dead.err);
	run(&told, "status", "pins");
	EXPECT_NE(NULL, strstr(told.out, "an upgrade is at work")) TH_LOG("%s", told.out);
	kill_command(&dead);
	EXPECT_EQ(-SIGKILL, dead.status);

	/* The old version and the writer go on, unless the map is frozen already. */
	run(&told, "status", "pins");
	EXPECT_NE(NULL, strstr(told.out, "pins: an upgrade was killed, the old version is in charge: bpf-upgrade run starts again\n"))
		TH_LOG("%s", told.out);
	run(&told, "resume", "pins", "new.o");
	EXPECT_EQ(1, told.status);
	EXPECT_NE(NULL, strstr(told.err, no_resume)) TH_LOG("%s", told.err);
	calls = count_in("pins/counts").calls;
	EXPECT_TRUE(goes_on(frozen ? &w->asked : &w->written, KEYS));
	call(frozen);	/* the writer waits */
	EXPECT_LT(calls, count_in("pins/counts").calls);

	run(&told, "run", "pins", "new.o");
	EXPECT_EQ(0, told.status) TH_LOG("%s", told.err);
	EXPECT_TRUE(goes_on(&w->written, KEYS)) TH_LOG("the writer hangs");
	__atomic_store_n(&w->stop, true, __ATOMIC_SEQ_CST);
	waitpid(w->pid, NULL, 0);
	EXPECT_EQ(0, w->refused);
	for (__u32 key = 0; key < KEYS; key++) {
		EXPECT_EQ(w->last[key], element(key)) TH_LOG("key %u", key);
	}
	expect_new(_metadata, self, BEFORE + w->called + frozen);
}

static bool calls_bpf(const struct system_call *call, enum bpf_cmd cmd)
{
	return call->number == __NR_bpf && call->args[0] == cmd;
}

static bool pins(const struct system_call *call)
{
	return !call->made && calls_bpf(call, BPF_OBJ_PIN);
}

TEST_F_TIMEOUT(tool, killed_before_it_pins, SECONDS)
{
	kill_and_run_again(_metadata, self, pins, "there is no upgrade in pins to resume", false);
}

#define NOT_SWITCHED "the upgrade in pins did not get as far as the switch, the old version is in charge: run it again"

static bool copies(const struct system_call *call)
{
	return call->made && calls_bpf(call, BPF_ITER_CREATE);
}

TEST_F_TIMEOUT(tool, killed_while_it_copies, SECONDS)
{
	kill_and_run_again(_metadata, self, copies, NOT_SWITCHED, false);
}

/* libbpf freezes maps as well, before the new version is attached. */
static bool freezes(const struct system_call *call)
{
	return calls_bpf(call, BPF_MAP_FREEZE) && !access("pins/upgrade/count_calls", F_OK);
}

TEST_F_TIMEOUT(tool, killed_before_it_freezes, SECONDS)
{
	kill_and_run_again(_metadata, self, freezes, NOT_SWITCHED, false);
}

static bool has_frozen(const struct system_call *call)
{
	return call->made && freezes(call);
}

/* The last moment: only programs can change the old map, until an upgrade succeeds. */
TEST_F_TIMEOUT(tool, killed_when_it_has_frozen, SECONDS)
{
	kill_and_run_again(_metadata, self, has_frozen, NOT_SWITCHED, true);
}

TEST_HARNESS_MAIN
