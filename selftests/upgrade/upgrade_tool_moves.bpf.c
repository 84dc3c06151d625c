// SPDX-License-Identifier: GPL-2.0-only
#define KIND BPF_MAP_TYPE_HASH
#define MOVES
#include "upgrade_tool.bpf.h"
