// SPDX-License-Identifier: GPL-2.0-only
/* Live upgrade, the user space side. See upgrade.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "keyset.h"
#include "upgrade.h"

#define SAMPLE_NS 20000000ULL
#define COPY_TRIES 4		/* more copies, if the new map refuses elements */
#define FREEZE_TRIES 64		/* grace periods to wait for stragglers to end */
#define STRAGGLER_US 30000	/* a few time slices */
#define CHUNK 256		/* elements to copy before looking at the reports */

static const char *const programs[] = {
	"upgrade_mark_update", "upgrade_mark_delete", "upgrade_copy", "upgrade_list",
	"upgrade_batch", "upgrade_list_batch",
};

enum { MARK_UPDATE, MARK_DELETE, COPY, LIST, BATCH, LIST_BATCH, PROGRAMS };

struct upgrade {
	struct upgrade_opts opts;
	struct upgrade_report *report;
	struct upgrade_state *state;	/* in memory shared with the programs */
	struct bpf_object *obj;
	struct bpf_map *old_map, *new_map;
	struct bpf_program *prog[PROGRAMS];
	struct bpf_link *link[PROGRAMS];
	struct ring_buffer *marks, *created;
	struct keyset dirty;		/* reported and not reconciled yet */
	struct keyset known;		/* may be in the new map */
	char *batch;			/* the mapped upgrade_keys, for upgrade_batch */
	size_t stride;			/* of its keys */
	int outer_fd, inner_fd;		/* see grace() */
	bool no_delete;			/* the new map is an array */
	bool frozen;
	bool out_of_memory;
	__u64 sampled;
};

static __u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Record an error, unless there is an earlier one. */
static int __attribute__((format(printf, 3, 4)))
fail(struct upgrade *u, int err, const char *format, ...)
{
	va_list args;

	if (!u->report->error[0]) {
		va_start(args, format);
		vsnprintf(u->report->error, sizeof(u->report->error), format, args);
		va_end(args);
	}
	return err;
}

static int __attribute__((format(printf, 2, 3)))
refuse(int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "upgrade: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	return err;
}

static void sample(struct upgrade *u, bool always)
{
	struct upgrade_sample s = { .phase = u->state->phase };
	__u64 t = now();

	if (!u->opts.sample || (!always && t - u->sampled < SAMPLE_NS))
		return;
	u->sampled = t;
	s.reported = u->state->reported;
	s.dirty = u->dirty.count;
	s.copied = u->state->visited[UPGRADE_COPY];
	u->opts.sample(u->opts.ctx, &s);
}

/*
 * Wait until every system call on a map and every non-sleepable program that is now
 * running has ended. Updating a map of maps from user space guarantees that, since
 * programs may be using the inner map. membarrier() does not wait at all on a
 * single CPU, and fails with nohz_full.
 */
static int grace(struct upgrade *u)
{
	__u32 zero = 0;
	int err = bpf_map_update_elem(u->outer_fd, &zero, &u->inner_fd, BPF_ANY);

	return err ? fail(u, err, "cannot wait for a grace period") : 0;
}

static int on_mark(void *ctx, void *key, size_t size)
{
	struct upgrade *u = ctx;

	if (keyset_add(&u->dirty, key))
		u->out_of_memory = true;
	return 0;
}

static int on_created(void *ctx, void *key, size_t size)
{
	struct upgrade *u = ctx;

	if (keyset_add(&u->known, key))
		u->out_of_memory = true;
	return 0;
}

/* Take about as much as a ring holds now: it may be filled while it is read. */
static int consume(struct upgrade *u, struct ring_buffer *ring)
{
	int n = ring_buffer__consume_n(ring, u->opts.marks_size / 16);

	if (n < 0)
		return fail(u, n, "cannot read a ring of keys");
	return u->out_of_memory ? fail(u, -ENOMEM, "no memory for keys") : n;
}

static int drain(struct upgrade *u)
{
	int n = consume(u, u->marks);

	sample(u, false);
	return n < 0 ? n : 0;
}

static int drain_created(struct upgrade *u)
{
	int n = consume(u, u->created);

	return n < 0 ? n : 0;
}

/* Empty both rings. Only ends once the old map is frozen, or nearly so. */
static int drain_all(struct upgrade *u)
{
	int n;

	do {
		n = consume(u, u->marks);
	} while (n > 0);
	while (!n && (n = consume(u, u->created)) > 0)
		n = 0;
	return n;
}

/* Have the kernel compare the elements of these keys. */
static int run_batches(struct upgrade *u, struct keyset *set, enum upgrade_pass pass)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	u->state->pass = pass;
	for (__u32 i = 0, n; i < set->count; i += n) {
		n = set->count - i < UPGRADE_BATCH ? set->count - i : UPGRADE_BATCH;
		u->state->batch = n;
		for (__u32 j = 0; j < n; j++)
			memcpy(u->batch + j * u->stride, keyset_key(set, i + j),
			       set->key_size);
		err = bpf_prog_test_run_opts(bpf_program__fd(u->prog[BATCH]), &opts);
		if (err)
			return fail(u, err, "cannot run upgrade_batch");
		err = drain_created(u);
		if (err)
			return err;
		sample(u, false);
	}
	return 0;
}

/* Run an iterator, and pass what it writes to `each`, up to CHUNK items at a time. */
static int iterate(struct upgrade *u, int prog,
		   int (*each)(struct upgrade *u, const char *data, size_t size))
{
	int fd = bpf_iter_create(bpf_link__fd(u->link[prog])), err = 0;
	size_t item = prog == LIST ? u->dirty.key_size : 1, kept = 0;
	char *data = malloc(CHUNK * item);
	ssize_t n;

	if (fd < 0 || !data)
		err = fail(u, fd < 0 ? fd : -ENOMEM, "cannot make an iterator");
	while (!err) {
		n = read(fd, data + kept, CHUNK * item - kept);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			err = fail(u, -errno, "cannot read an iterator");
		if (n <= 0)
			break;
		kept += n;
		err = each(u, data, kept / item * item);
		memmove(data, data + kept / item * item, kept % item);
		kept %= item;
	}
	free(data);
	if (fd >= 0)
		close(fd);
	return err;
}

static int on_copied(struct upgrade *u, const char *data, size_t size)
{
	return u->frozen ? drain_created(u) : drain(u);
}

static int on_listed(struct upgrade *u, const char *data, size_t size)
{
	for (; size; size -= u->known.key_size, data += u->known.key_size)
		if (keyset_add(&u->known, data))
			return fail(u, -ENOMEM, "no memory for keys");
	return 0;
}

static int iterate_old(struct upgrade *u, enum upgrade_pass pass)
{
	u->state->pass = pass;
	u->state->keys = 0;
	u->state->kept = 0;
	return iterate(u, COPY, on_copied);
}

/*
 * A report precedes its change. So take the key first, then wait for the change to
 * happen or fail, then read the old map.
 */
static int reconcile(struct upgrade *u, enum upgrade_pass pass)
{
	int err = grace(u);

	sample(u, true);
	if (!err)
		err = run_batches(u, &u->dirty, pass);
	if (!err)
		keyset_clear(&u->dirty);
	return err;
}

static int reconcile_until_quiet(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	__u32 before = ~0U, shrinking = 2;
	int err;

	for (;; r->passes++) {
		err = drain(u);
		if (err)
			return err;
		if (r->passes >= u->opts.min_passes &&
		    (u->dirty.count <= u->opts.quiet_keys || !shrinking ||
		     r->passes >= u->opts.max_passes))
			return 0;
		if (u->dirty.count >= before && shrinking)
			shrinking--;
		before = u->dirty.count;
		r->dirty += before;
		err = reconcile(u, UPGRADE_RECONCILE);
		if (err)
			return err;
	}
}

static __u64 misses(struct bpf_program *prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_program__fd(prog) < 0 ||
	    bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return 0;
	return info.recursion_misses;
}

/*
 * Increases with each change of the old map, whether or not a marker could run. A
 * skipped marker does not tell which map it was for, so all maps count then.
 */
static __u64 reports(struct upgrade *u)
{
	return u->state->reported + misses(u->prog[MARK_UPDATE]) +
	       misses(u->prog[MARK_DELETE]);
}

static bool ours(struct upgrade *u, struct bpf_program *prog)
{
	for (int i = 0; i < PROGRAMS; i++)
		if (prog == u->prog[i])
			return true;
	return false;
}

static __u64 missed_events(struct upgrade *u)
{
	struct bpf_program *prog;
	__u64 sum = 0;

	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) && !ours(u, prog))
			sum += misses(prog);
	return sum;
}

static void set_phase(struct upgrade *u, enum upgrade_phase phase)
{
	__atomic_store_n(&u->state->phase, phase, __ATOMIC_SEQ_CST);
	u->report->phase = phase;
	sample(u, true);
}

static int attach_markers(struct upgrade *u)
{
	for (int i = MARK_UPDATE; i <= MARK_DELETE; i++) {
		u->link[i] = bpf_program__attach(u->prog[i]);
		if (!u->link[i])
			return fail(u, -errno, "cannot attach %s", programs[i]);
	}
	return 0;
}

/* Up to the switch: the old version is left alone, and giving up costs nothing. */
static int watch(struct upgrade *u)
{
	int err;

	set_phase(u, UPGRADE_WATCHING);
	err = attach_markers(u);
	if (err)
		return err;
	sample(u, true);
	/* Let changes that had already passed the hook end before the copy begins. */
	err = grace(u) ?: iterate_old(u, UPGRADE_COPY);
	if (err)
		return err;
	err = u->opts.attach_new(u->opts.ctx);
	if (err)
		return fail(u, err, "cannot attach the new version");
	/* Now every event runs the new version first, which does nothing yet. */
	err = grace(u) ?: reconcile_until_quiet(u);
	/* A full map refuses a key until the key that it replaced is gone. */
	for (int i = 0; !err && u->state->write_errors && i < COPY_TRIES; i++) {
		u->state->write_errors = 0;
		err = drain(u) ?: reconcile(u, UPGRADE_RECONCILE) ?:
		      iterate_old(u, UPGRADE_COPY) ?: reconcile_until_quiet(u);
	}
	if (!err && u->state->write_errors)
		err = fail(u, -E2BIG, "the new map refused %llu elements",
			   u->state->write_errors);
	return err;
}

/* Wait for the changes that the old version still had in flight. */
static int freeze(struct upgrade *u)
{
	__u64 reported;
	int err;

	u->frozen = true;
	for (int i = 0; i < FREEZE_TRIES; i++) {
		reported = reports(u);
		err = grace(u) ?: drain_all(u);
		if (err || reports(u) == reported)
			return err;
	}
	return fail(u, -EBUSY, "the old map is still being changed");
}

/* Sets *reported to the number of reports up to which the new map is complete. */
static int complete(struct upgrade *u, __u64 *reported)
{
	__u64 *changed = u->state->changed, before;
	int err;

	for (int i = 0; i < FREEZE_TRIES; i++) {
		*reported = reports(u);
		before = changed[UPGRADE_FULL];
		err = reconcile(u, UPGRADE_MARKED);
		if (!err && !u->no_delete)
			err = run_batches(u, &u->known, UPGRADE_FULL);
		if (!err)
			err = iterate_old(u, UPGRADE_FULL);
		if (!err)
			err = drain_all(u);
		if (err || reports(u) == *reported)
			return err;
		/* A straggler: an event that was held up between the versions. */
		u->report->stragglers++;
		changed[UPGRADE_MARKED] += changed[UPGRADE_FULL] - before;
		changed[UPGRADE_FULL] = before;
		err = freeze(u);
		if (err)
			return err;
	}
	return fail(u, -EBUSY, "the old map is still being changed");
}

/* Compare the maps: neither changes, except for what the new version owns. */
static int prove(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	int err = iterate_old(u, UPGRADE_CHECK);

	r->keys = u->state->keys;
	r->kept = u->state->kept;
	if (!err && !u->no_delete)
		err = drain_all(u) ?: run_batches(u, &u->known, UPGRADE_CHECK_GONE);
	return err;
}

/* The old version is gone: complete the new map. Go on even if a step fails. */
static int finish(struct upgrade *u, int first)
{
	__u64 reported = 0;
	int err;

	err = freeze(u);
	first = first ?: err;
	err = complete(u, &reported);
	first = first ?: err;

	/* An event that saw the previous phase may still copy: the value is right. */
	set_phase(u, UPGRADE_SETTLED);
	err = grace(u) ?: prove(u);
	first = first ?: err;
	/* Nothing is copied any more, so ownership does not matter any more. */
	err = grace(u);
	first = first ?: err;
	u->state->late = reports(u) - reported;
	set_phase(u, UPGRADE_DONE);
	return first;
}

/* After the switch there is no way back, whatever fails. */
static int settle(struct upgrade *u)
{
	__u64 missed = missed_events(u);
	int first, err;

	set_phase(u, UPGRADE_SWITCHED);
	/*
	 * An event that saw the previous phase belongs to the old version, whose
	 * program has yet to run in that call. Detaching removes it from calls
	 * in flight, so let these end first. Between the two programs, a task is
	 * not an RCU reader and can be preempted, or its vCPU by the host: give
	 * it time to run.
	 */
	usleep(STRAGGLER_US);
	first = grace(u) ?: drain(u) ?: reconcile(u, UPGRADE_MARKED);
	err = u->opts.detach_old(u->opts.ctx);
	if (err)
		fail(u, err, "cannot detach the old version");
	first = first ?: err;
	u->report->missed_events = missed_events(u) - missed;
	sample(u, true);
	return finish(u, first);
}

static void fill_in(struct upgrade *u)
{
	struct upgrade_report *r = u->report;
	struct upgrade_state *s = u->state;

	r->missing = s->missing;
	r->stale = s->stale;
	r->resurrected = s->resurrected;
	r->late = s->late;
	r->changes = s->reported;
	r->copied = s->changed[UPGRADE_COPY];
	r->reconciled = s->changed[UPGRADE_RECONCILE];
	r->refreshed = s->changed[UPGRADE_REFRESH];
	r->repaired_marked = s->changed[UPGRADE_MARKED];
	r->repaired_unmarked = s->changed[UPGRADE_FULL];
	r->unmarked = s->unmarked;
	r->unlisted = s->unlisted;
	r->lock_failures = s->lock_failures;
	r->own_failures = s->own_failures;
	r->write_errors = s->write_errors;
	r->recursion_misses = misses(u->prog[MARK_UPDATE]) + misses(u->prog[MARK_DELETE]);
}

static bool reported_type(__u32 type)
{
	switch (type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return true;
	}
	return false;
}

static bool is_array(__u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static bool is_percpu(__u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/* libbpf sets the flag at load; until then, the section name has to tell. */
static bool is_sleepable(const struct bpf_program *prog)
{
	const char *section = bpf_program__section_name(prog);
	size_t kind = strcspn(section, "/");

	if (bpf_program__type(prog) == BPF_PROG_TYPE_SYSCALL)
		return false;
	return (bpf_program__flags(prog) & BPF_F_SLEEPABLE) ||
	       (kind > 2 && !strncmp(section + kind - 2, ".s", 2));
}

/* Can the library and the object handle these two maps? */
static int check_maps(struct upgrade *u, const struct upgrade_config *config)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), type;
	struct bpf_program *prog;
	int err;

	err = bpf_map_get_info_by_fd(u->opts.old_map_fd, &info, &len);
	if (err)
		return refuse(err, "cannot use the old map: %s", strerror(-err));
	u->old_map = bpf_object__find_map_by_name(u->obj, config->old_map);
	u->new_map = bpf_object__find_map_by_name(u->obj, config->new_map);
	if (!u->old_map || !u->new_map)
		return refuse(-ENOENT, "no map %s", u->old_map ? config->new_map :
								 config->old_map);
	type = bpf_map__type(u->new_map);
	if (!reported_type(info.type) || !reported_type(type))
		return refuse(-EINVAL, "changes of this map type are not reported");
	if (is_percpu(info.type) != is_percpu(type) ||
	    (is_array(type) && !is_array(info.type)))
		return refuse(-EINVAL, "map type %u cannot become %u", info.type, type);
	if (info.key_size != config->old_key_size ||
	    info.value_size != config->old_value_size)
		return refuse(-EINVAL, "the old map has keys of %u and values of %u bytes",
			      info.key_size, info.value_size);
	if (bpf_map__key_size(u->new_map) != config->new_key_size ||
	    bpf_map__value_size(u->new_map) != config->new_value_size)
		return refuse(-EINVAL, "%s has other sizes than its types", config->new_map);
	if (bpf_map__max_entries(u->new_map) < info.max_entries)
		return refuse(-E2BIG, "%s is smaller than the old map of %u", config->new_map,
			      info.max_entries);
	if (is_percpu(type) && libbpf_num_possible_cpus() > 64)
		return refuse(-E2BIG, "more than 64 CPUs");
	bpf_object__for_each_program(prog, u->obj)
		if (bpf_program__autoload(prog) && is_sleepable(prog))
			return refuse(-EINVAL, "%s is sleepable", bpf_program__name(prog));
	u->no_delete = is_array(type);
	return 0;
}

static int set_size(struct bpf_object *obj, const char *name, __u32 max_entries)
{
	return bpf_map__set_max_entries(bpf_object__find_map_by_name(obj, name),
					max_entries);
}

static int prepare(struct upgrade *u)
{
	struct bpf_map *map = bpf_object__find_map_by_name(u->obj, ".rodata.upgrade");
	struct upgrade_config *config;
	size_t size;
	int err;

	config = map ? bpf_map__initial_value(map, &size) : NULL;
	if (!config || size != sizeof(*config))
		return refuse(-ENOENT, "the object does not include upgrade.bpf.h");
	err = check_maps(u, config);
	if (err)
		return err;
	config->enabled = 1;
	config->percpu = is_percpu(bpf_map__type(u->new_map));
	config->nr_cpus = libbpf_num_possible_cpus();
	u->dirty.key_size = config->old_key_size;
	u->known.key_size = config->old_key_size;
	u->stride = (config->old_key_size + 7) / 8 * 8;
	if (!u->opts.marks_size)
		u->opts.marks_size = 1 << 20;
	if (!u->opts.created_size)
		u->opts.created_size = 1 << 20;
	if (!u->opts.max_owned)
		u->opts.max_owned = 2 * bpf_map__max_entries(u->new_map);
	u->opts.quiet_keys = u->opts.quiet_keys ?: 64;
	u->opts.max_passes = u->opts.max_passes ?: 16;

	for (int i = 0; i < PROGRAMS; i++) {
		u->prog[i] = bpf_object__find_program_by_name(u->obj, programs[i]);
		bpf_program__set_autoload(u->prog[i], true);
		bpf_program__set_autoattach(u->prog[i], false);
	}
	return bpf_map__reuse_fd(u->old_map, u->opts.old_map_fd) ?:
	       set_size(u->obj, "upgrade_marks", u->opts.marks_size) ?:
	       set_size(u->obj, "upgrade_created", u->opts.created_size) ?:
	       set_size(u->obj, "upgrade_owned", u->opts.max_owned);
}

int upgrade_open(struct bpf_object *obj, const struct upgrade_opts *opts,
		 struct upgrade **upgrade)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->obj = obj;
	u->opts = *opts;
	u->inner_fd = -1;
	u->outer_fd = -1;
	err = prepare(u);
	if (err) {
		upgrade_close(u);
		return err;
	}
	*upgrade = u;
	return 0;
}

/* The part of the setup that needs the object to be loaded. */
static int begin(struct upgrade *u, struct upgrade_report *report)
{
	LIBBPF_OPTS(bpf_map_create_opts, of_maps);
	int maps[] = { bpf_map__fd(u->old_map), bpf_map__fd(u->new_map) };
	struct bpf_map *map;

	memset(report, 0, sizeof(*report));
	u->report = report;
	map = bpf_object__find_map_by_name(u->obj, ".data.upgrade");
	u->state = mmap(NULL, sizeof(*u->state), PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(map), 0);
	map = bpf_object__find_map_by_name(u->obj, "upgrade_keys");
	u->batch = mmap(NULL, UPGRADE_BATCH * u->stride, PROT_READ | PROT_WRITE, MAP_SHARED,
			bpf_map__fd(map), 0);
	if (u->state == MAP_FAILED || u->batch == MAP_FAILED)
		return fail(u, -errno, "cannot map the programs' data: is the object loaded?");

	u->inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "upgrade_inner", 4, 4, 1, NULL);
	of_maps.inner_map_fd = u->inner_fd;
	u->outer_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "upgrade_grace", 4, 4, 1,
				     &of_maps);
	if (u->outer_fd < 0)
		return fail(u, u->outer_fd, "cannot create a map of maps");

	map = bpf_object__find_map_by_name(u->obj, "upgrade_marks");
	u->marks = ring_buffer__new(bpf_map__fd(map), on_mark, u, NULL);
	map = bpf_object__find_map_by_name(u->obj, "upgrade_created");
	u->created = ring_buffer__new(bpf_map__fd(map), on_created, u, NULL);
	if (!u->marks || !u->created)
		return fail(u, -errno, "cannot read the rings");

	for (int i = COPY; i <= LIST; i++) {
		union bpf_iter_link_info info = { .map.map_fd = maps[i - COPY] };
		LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info,
			    .link_info_len = sizeof(info));

		u->link[i] = bpf_program__attach_iter(u->prog[i], &opts);
		if (!u->link[i])
			return fail(u, -errno, "cannot attach %s", programs[i]);
	}
	return 0;
}

/* The result of the proof: 0 or -EUCLEAN. */
static int judge(struct upgrade *u)
{
	struct upgrade_report *r = u->report;

	if (!r->missing && !r->stale && !r->resurrected && !r->late && !r->missed_events &&
	    !r->unlisted && !r->lock_failures && !r->own_failures)
		return 0;
	return fail(u, -EUCLEAN,
		    "%llu missing, %llu stale, %llu resurrected, %llu late, %llu events missed, %llu unlisted, %llu locks, %llu owners",
		    r->missing, r->stale, r->resurrected, r->late, r->missed_events,
		    r->unlisted, r->lock_failures, r->own_failures);
}

/* They make every change of every map a little slower. */
static void detach_markers(struct upgrade *u)
{
	for (int i = MARK_UPDATE; i <= MARK_DELETE; i++) {
		bpf_link__destroy(u->link[i]);
		u->link[i] = NULL;
	}
}

/* Complete the report, whatever came before, and return the overall result. */
static int end(struct upgrade *u, int err)
{
	fill_in(u);
	detach_markers(u);
	return err ?: judge(u);
}

int upgrade_run(struct upgrade *u, struct upgrade_report *r)
{
	__u64 began = now(), held, switched;
	int err;

	err = begin(u, r);
	if (err)
		return err;
	err = watch(u);
	if (err)
		return end(u, err);
	held = now();
	if (u->opts.hold_writers)
		err = u->opts.hold_writers(u->opts.ctx);
	if (err)
		fail(u, err, "cannot hold the writers");
	/* Only the library writes to the new map now, so the list is exact. */
	err = err ?: drain(u) ?: reconcile(u, UPGRADE_RECONCILE) ?:
	      iterate(u, LIST, on_listed);
	switched = now();
	if (!err)
		err = settle(u);
	if (u->opts.release_writers)
		u->opts.release_writers(u->opts.ctx, r->phase >= UPGRADE_SWITCHED);
	r->watch_ns = switched - began;
	r->hold_ns = now() - held;
	r->window_ns = r->phase >= UPGRADE_SWITCHED ? now() - switched : 0;
	return end(u, err);
}

/* Add the new keys that upgrade_list_batch has in its map to the known ones. */
static int list_batch(struct upgrade *u, __u32 count)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err;

	u->state->batch = count;
	err = bpf_prog_test_run_opts(bpf_program__fd(u->prog[LIST_BATCH]), &opts);
	for (__u32 i = 0; !err && i < count; i++)
		err = keyset_add(&u->known, u->batch + i * u->stride);
	return err;
}

/*
 * List all keys of the new map while the new version changes it. An iterator can
 * miss elements even if they do not change. A batch cannot: each bucket is copied
 * under its lock.
 */
static int list_new(struct upgrade *u)
{
	struct bpf_map *map = bpf_object__find_map_by_name(u->obj, "upgrade_new_keys");
	size_t size = bpf_map__key_size(u->new_map), stride = (size + 7) / 8 * 8;
	size_t value = (bpf_map__value_size(u->new_map) + 7) / 8 * 8;
	char *keys = malloc(UPGRADE_BATCH * size), *to, *values;
	__u32 token[64], count, room = UPGRADE_BATCH;	/* the kernel's token is a __u32 */
	void *in = NULL;
	int err, last = 0;

	if (is_percpu(bpf_map__type(u->new_map)))
		value *= libbpf_num_possible_cpus();
	values = malloc(room * value);
	to = mmap(NULL, room * stride, PROT_READ | PROT_WRITE, MAP_SHARED,
		  bpf_map__fd(map), 0);
	err = keys && values && to != MAP_FAILED ? 0 : -ENOMEM;
	while (!err && !last) {
		count = room;
		last = bpf_map_lookup_batch(bpf_map__fd(u->new_map), in, token, keys, values,
					    &count, NULL);
		if (last && last != -ENOENT)
			err = last;
		for (__u32 i = 0; !err && i < count; i++)
			memcpy(to + i * stride, keys + i * size, size);
		err = err ?: list_batch(u, count);
		in = token;
	}
	if (to != MAP_FAILED)
		munmap(to, room * stride);
	free(values);
	free(keys);
	return err ? fail(u, err, "cannot list the new map") : 0;
}

int upgrade_resume(struct upgrade *u, struct upgrade_report *r)
{
	__u64 began = now();
	int err;

	err = begin(u, r);
	if (err)
		return err;
	r->phase = u->state->phase;
	if (r->phase == UPGRADE_DONE)
		return end(u, 0);
	if (r->phase < UPGRADE_SWITCHED)
		return fail(u, -EINVAL, "not switched, so nothing to resume");
	/* The list died with the process that made it: list again, and start counting anew. */
	err = attach_markers(u) ?: drain_all(u);
	u->state->unlisted = 0;
	u->state->missing = 0;
	u->state->stale = 0;
	u->state->resurrected = 0;
	if (!err && !u->no_delete)
		err = list_new(u);
	if (!err)
		err = finish(u, 0);
	r->window_ns = now() - began;
	return end(u, err);
}

void upgrade_close(struct upgrade *u)
{
	if (!u)
		return;
	for (int i = 0; i < PROGRAMS; i++)
		bpf_link__destroy(u->link[i]);
	ring_buffer__free(u->marks);
	ring_buffer__free(u->created);
	if (u->state && u->state != MAP_FAILED)
		munmap(u->state, sizeof(*u->state));
	if (u->batch && u->batch != MAP_FAILED)
		munmap(u->batch, UPGRADE_BATCH * u->stride);
	if (u->outer_fd >= 0)
		close(u->outer_fd);
	if (u->inner_fd >= 0)
		close(u->inner_fd);
	keyset_free(&u->dirty);
	keyset_free(&u->known);
	free(u);
}
