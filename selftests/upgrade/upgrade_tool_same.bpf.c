// SPDX-License-Identifier: GPL-2.0-only
#define KIND BPF_MAP_TYPE_HASH
#define COUNTER __u16
#include "upgrade_tool.bpf.h"
