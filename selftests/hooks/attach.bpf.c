// SPDX-License-Identifier: GPL-2.0-only
/* Sleepable programs, which both hooks must refuse. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

#define SLEEPABLE(via, hook)						\
	SEC("?" #via ".s/bpf_map_trace_" #hook "_elem")			\
	int BPF_PROG(via##_##hook, struct bpf_map *map, void *key)	\
	{								\
		return 0;						\
	}

SLEEPABLE(fentry, update)
SLEEPABLE(fexit, update)
SLEEPABLE(fmod_ret, update)
SLEEPABLE(fentry, delete)
SLEEPABLE(fexit, delete)
SLEEPABLE(fmod_ret, delete)
