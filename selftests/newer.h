/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the headers of older kernels lack, after <linux/bpf.h> or vmlinux.h. These are
 * macros, because newer headers have enumerators of these names.
 */
#ifndef NEWER_H
#define NEWER_H

#define BPF_MAP_TYPE_RHASH 35
#define BPF_F_CPU 8
#define BPF_F_ALL_CPUS 16

#endif /* NEWER_H */
