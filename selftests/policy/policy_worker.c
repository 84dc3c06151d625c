// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker knows which of its writes the policy must allow, and counts those that
 * turn out otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "policy_worker.h"

#define ROUNDS_AWAKE 4	/* then sleep: leave the upgrade a little CPU time */
#define ASLEEP_US 2000

static struct worker *me;

static void wrong(_Atomic unsigned long *count, const char *what)
{
	if (!me->first_wrong) {
		me->first_round = me->rounds;
		me->first_wrong = what;
	}
	(*count)++;
}

static void allowed(long result, const char *what)
{
	me->judged++;
	if (result == 1)
		return;
	wrong(errno == EPERM ? &me->refused_wrongly : &me->failed, what);
}

/* EBADF is wrong, too: the policy allowed a write to a closed descriptor. */
static void refused(long result, const char *what)
{
	me->judged++;
	if (result != -1 || errno != EPERM)
		wrong(&me->allowed_wrongly, what);
}

static void succeeds(bool success, const char *what)
{
	if (!success)
		wrong(&me->failed, what);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	succeeds(fd >= 0, "open");
	return fd;
}

/* The life of a descriptor, and of its number, from open to close. */
static void round_of_short_file(int inherited)
{
	int fd = open_file("short"), again, copy;

	allowed(write(fd, "w", 1), "write to a file just opened");
	refused(write(inherited, "w", 1), "write to an inherited file");

	copy = dup(inherited);
	refused(write(copy, "d", 1), "write to a copy of an inherited descriptor");
	succeeds(close(copy) == 0, "close a copy");

	succeeds(close(fd) == 0, "close");
	refused(write(fd, "c", 1), "write to a closed descriptor");
	again = open_file("short");
	succeeds(again == fd, "open again returns the same descriptor");
	allowed(write(again, "a", 1), "write to a file opened again");

	succeeds(dup2(inherited, again) == again, "dup2");
	refused(write(again, "2", 1), "write to a descriptor replaced by dup2");
	succeeds(close_range(again, again, 0) == 0, "close_range");

	again = open_file("short");
	allowed(write(again, "r", 1), "write to a file opened after dup2");
	succeeds(close_range(again, again, 0) == 0, "close_range");
	refused(write(again, "r", 1), "write to a descriptor closed by close_range");
}

static void open_slot(int i)
{
	char name[] = { 's', 'l', 'o', 't', 'A' + i, '\0' };
	struct slot *slot = &me->slots[i];
	struct stat status = {};

	slot->fd = open_file(name);
	fstat(slot->fd, &status);
	slot->ino = status.st_ino;
	allowed(write(slot->fd, "o", 1), "write to a slot's file just opened");
}

/* Some files stay open, others are opened or closed every few hundred rounds. */
static void round_of_slots(void)
{
	struct slot *slot = &me->slots[me->rounds % SLOTS];
	int i = random() % (8 * SLOTS), closed;

	if (slot->fd >= 0)
		allowed(write(slot->fd, "s", 1), "write to a slot's file");
	if (i < ALWAYS_OPEN || i >= SLOTS)
		return;
	slot = &me->slots[i];
	if (slot->fd < 0) {
		open_slot(i);
		return;
	}
	closed = slot->fd;
	slot->fd = -1;
	succeeds(close(closed) == 0, "close a slot's file");
	refused(write(closed, "s", 1), "write to a slot's closed descriptor");
}

static int join(const char *members)
{
	__u32 pid = getpid(), value = 1;
	int fd = bpf_obj_get(members), err;

	err = bpf_map_update_elem(fd, &pid, &value, BPF_NOEXIST);
	close(fd);
	return err;
}

void worker_run(struct worker *self, const _Atomic int *wanted, const char *members,
		int inherited)
{
	int state = WORKER_RUN;

	me = self;
	succeeds(join(members) == 0, "join");
	for (int i = 0; i < SLOTS; i++)
		open_slot(i);
	while ((state = *wanted) != WORKER_EXIT) {
		me->state = state;
		if (state == WORKER_REST) {
			usleep(1000);
			continue;
		}
		round_of_short_file(inherited);
		round_of_slots();
		if (++me->rounds % ROUNDS_AWAKE == 0)
			usleep(ASLEEP_US);
	}
	for (int i = 0; i < SLOTS; i++)
		close(me->slots[i].fd);
	me->state = WORKER_EXIT;
	_exit(0);
}
