// SPDX-License-Identifier: GPL-2.0-only
/* More programs than there is room for, beside the library's. */
#define KIND BPF_MAP_TYPE_HASH
#include "upgrade_tool.bpf.h"

#define IDLE(name)			\
SEC("fentry/__x64_sys_getpgid")		\
int name(void *ctx)			\
{					\
	return 0;			\
}

#define IDLE_TEN(name)						\
	IDLE(name##0) IDLE(name##1) IDLE(name##2) IDLE(name##3)	\
	IDLE(name##4) IDLE(name##5) IDLE(name##6) IDLE(name##7)	\
	IDLE(name##8) IDLE(name##9)

IDLE_TEN(a) IDLE_TEN(b) IDLE_TEN(c) IDLE_TEN(d) IDLE_TEN(e) IDLE_TEN(f)
IDLE_TEN(g) IDLE_TEN(h) IDLE_TEN(i) IDLE_TEN(j) IDLE_TEN(k) IDLE_TEN(l)
