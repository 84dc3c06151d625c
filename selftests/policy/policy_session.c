// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <bpf/bpf.h>
#include "policy_pins.h"
#include "policy_session.h"
#include "state.h"	/* for the types in the skeletons */
#include "policy_v1.skel.h"
#include "policy_v2.skel.h"
#include "policy_v3.skel.h"
#include "policy_v2_from_v3.skel.h"

int policy_version(const char *root, int *map_fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int version;

	*map_fd = bpf_obj_get(PATH(root, "current/files"));
	if (*map_fd < 0)
		return *map_fd;
	if (bpf_map_get_info_by_fd(*map_fd, &info, &len) ||
	    sscanf(info.name, "files_v%d", &version) != 1)
		return -EINVAL;
	return version;
}

int session_open(struct session *session, int version, int from)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = session->root);
	const void *elf;
	char name[16];
	size_t size;

	if (version == 1)
		elf = policy_v1__elf_bytes(&size);
	else if (version == 3)
		elf = policy_v3__elf_bytes(&size);
	else if (from == 1)
		elf = policy_v2__elf_bytes(&size);
	else
		elf = policy_v2_from_v3__elf_bytes(&size);
	session->object = bpf_object__open_mem(elf, size, &opts);
	if (!session->object)
		return -errno;
	snprintf(name, sizeof(name), "files_v%d", version);
	session->files = bpf_object__find_map_by_name(session->object, name);
	return 0;
}

int session_pin(struct session *session)
{
	struct path next = path_of(session->root, "next");

	if (mkdir(next.text, 0700) || mkdir(PATH(next.text, "links"), 0700))
		return -errno;
	return bpf_obj_pin(bpf_map__fd(session->files), PATH(next.text, "files")) ?:
	       pins_attach(session->object, next.text);
}

int policy_install(const char *root, struct policy_run *run)
{
	struct session session = { .root = root, .run = run };
	int err;

	err = session_open(&session, 1, 0) ?: bpf_object__load(session.object) ?:
	      session_pin(&session);
	if (!err && rename(PATH(root, "next"), PATH(root, "current")))
		err = -errno;
	bpf_object__close(session.object);
	return err;
}
