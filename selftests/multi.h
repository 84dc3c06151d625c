/* SPDX-License-Identifier: GPL-2.0-only */
/* Attach a program of a multi form, where libbpf can do that. */
#ifndef MULTI_H
#define MULTI_H

#include <errno.h>
#include <bpf/libbpf.h>

/* To the functions of these BTF IDs. NULL and errno if it fails. */
static inline struct bpf_link *attach_multi(const struct bpf_program *prog,
					    const __u32 *ids, size_t cnt)
{
#ifdef bpf_tracing_multi_opts__last_field
	LIBBPF_OPTS(bpf_tracing_multi_opts, opts, .ids = ids, .cnt = cnt);

	return bpf_program__attach_tracing_multi(prog, NULL, &opts);
#else
	errno = ENOENT;	/* an older libbpf */
	return NULL;
#endif
}

#endif /* MULTI_H */
