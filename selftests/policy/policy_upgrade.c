// SPDX-License-Identifier: GPL-2.0-only
/*
 * An upgrade of the policy can be killed at any moment. This is what is in force
 * if it is killed:
 *
 * - Before the new version is pinned: what is not pinned goes away with the
 *   process, and the old version has not noticed anything.
 * - While `next` is being filled, and once it is complete: the pinned programs stay
 *   attached but see the phase WATCHING and do nothing. So it does not matter that
 *   some of them may be missing.
 * - SWITCHED, before `next` and `current` are exchanged: both versions decide, and
 *   a write needs the consent of both. Both are right: the old one has recorded
 *   every event in its own map, the new one copies from there what it looks up.
 *   `current` is the old version, and the next upgrade drops the new one. This is
 *   why everything is pinned before the switch: with some of its programs gone,
 *   the new version would miss events and refuse writes wrongly.
 * - The exchange is one renameat2(2). From here on, `current` is the new version,
 *   and the next upgrade drops the old one.
 * - While the old version is being detached: its enforcers go first, see
 *   policy_pins.c.
 * - Before SETTLED: the new version decides alone, and still copies what it looks
 *   up from the old map, which its folder `upgrade` keeps. The next upgrade must
 *   first complete the new map with upgrade_resume(). Until then, what the new
 *   version changes takes up room in the library's map of owned keys.
 * - SETTLED or DONE, but `current/upgrade` still exists: doing the same again does
 *   no harm.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "policy_pins.h"
#include "policy_session.h"
#include "policy_upgrade.h"

/*
 * Let the library fall behind the workload, so that something is left to copy after
 * the switch. On an idle machine, hardly anything would be.
 */
#define BEHIND_US 30000

static void reach(struct policy_run *run, enum policy_stage stage)
{
	run->stage = stage;
	if (run->kill_at == (int)stage)
		kill(getpid(), SIGKILL);
}

static void sample(void *ctx, const struct upgrade_sample *sample)
{
	struct session *session = ctx;

	if (sample->phase == UPGRADE_WATCHING)
		usleep(BEHIND_US);
	if (sample->phase == UPGRADE_SETTLED && !session->resuming)
		reach(session->run, STAGE_SETTLED);
}

/* Besides the links, pin all that a resumed upgrade needs. */
static int attach_new(void *ctx)
{
	struct session *session = ctx;
	struct path next = path_of(session->root, "next");
	struct bpf_map *map;
	int err;

	err = session_pin(session);
	reach(session->run, STAGE_ATTACHED);
	if (!err && mkdir(PATH(next.text, "upgrade"), 0700))
		err = -errno;
	bpf_object__for_each_map(map, session->object)
		if (!err && !bpf_map__pin_path(map))
			err = bpf_obj_pin(bpf_map__fd(map), pin_of(next.text, map).text);
	reach(session->run, STAGE_PINNED);
	return err;
}

static int commit(void *ctx)
{
	struct session *session = ctx;
	int err;

	reach(session->run, STAGE_SWITCHED);
	err = pins_exchange(session->root);
	if (err)
		return err;
	reach(session->run, STAGE_COMMITTED);
	err = pins_remove(PATH(session->root, "next"));
	reach(session->run, STAGE_DETACHED);
	return err;
}

/* Of an upgrade that was killed once it had been committed. */
static int remove_old(void *ctx)
{
	struct session *session = ctx;

	return pins_remove(PATH(session->root, "next"));
}

static int open_upgrade(struct session *session, int version, int from, int old,
			struct upgrade **upgrade)
{
	struct upgrade_opts opts = {
		.sz = sizeof(opts),
		.old_map_fd = old,
		.pins = session->links.text,
		.attach_new = attach_new,
		.detach_old = session->resuming ? remove_old : commit,
		.old_decides = true,
		.sample = sample,
		.ctx = session,
	};

	session->links = path_of(session->root, session->resuming ? "current/links" : "next/links");
	return session_open(session, version, from) ?:
	       upgrade_open(session->object, &opts, upgrade);
}

/*
 * Complete the map of the version in force, whose upgrade was killed: load the same
 * programs with the same maps, and have the library carry on.
 */
static int resume(struct session *session, int version)
{
	struct path current = path_of(session->root, "current");
	struct upgrade *upgrade = NULL;
	struct bpf_map *map;
	int from, old = -1, err;

	for (from = 1; old < 0 && from <= 3; from++) {
		char name[32];

		snprintf(name, sizeof(name), "upgrade/files_v%d", from);
		if (from != version)
			old = bpf_obj_get(PATH(current.text, name));
	}
	session->resuming = true;
	err = open_upgrade(session, version, from - 1, old, &upgrade);
	bpf_object__for_each_map(map, session->object) {
		int fd = bpf_obj_get(pin_of(current.text, map).text);

		if (!err && !bpf_map__pin_path(map))
			err = bpf_map__reuse_fd(map, fd);
		close(fd);
	}
	err = err ?: bpf_object__load(session->object);
	session->run->report.sz = sizeof(session->run->report);
	err = err ?: upgrade_resume(upgrade, &session->run->report);
	/* What went wrong before it was done is reported once more, but not forever. */
	if (!err || session->run->report.phase == UPGRADE_DONE)
		err = pins_finish(session->root) ?: err;
	session->run->resumed = !err;
	upgrade_close(upgrade);
	bpf_object__close(session->object);
	close(old);
	return err;
}

int policy_clean(const char *root, struct policy_run *run)
{
	struct session session = { .root = root, .run = run };
	int old, version = policy_version(root, &old);
	int err = version < 0 ? version : 0;

	close(old);
	if (err)
		return err;
	return access(PATH(root, "current/upgrade"), F_OK) ? remove_old(&session) :
							     resume(&session, version);
}

int policy_upgrade(const char *root, struct policy_run *run)
{
	struct session session = { .root = root, .run = run };
	struct upgrade *upgrade = NULL;
	int version, old, err;

	reach(run, STAGE_BEGUN);
	err = policy_clean(root, run);
	if (err)
		return err;
	reach(run, STAGE_CLEANED);
	version = policy_version(root, &old);
	err = open_upgrade(&session, version == 2 ? 3 : 2, version, old, &upgrade) ?:
	      bpf_object__load(session.object);
	reach(run, STAGE_LOADED);
	run->report.sz = sizeof(run->report);
	err = err ?: upgrade_run(upgrade, &run->report);
	reach(run, STAGE_PROVED);
	err = err ?: pins_finish(root);
	reach(run, STAGE_FINISHED);
	return err;
}
