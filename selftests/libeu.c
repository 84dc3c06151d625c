// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the static libelf of elfutils 0.192 lacks (Debian 13;
 * https://sourceware.org/bugzilla/show_bug.cgi?id=32293): the linker takes it from
 * here if libelf.a does not have it.
 *
 * The tree is for elf_getdata_rawchunk(), which libbpf does not call, in memory that
 * libelf has cleared: there is nothing to do.
 */

void eu_search_tree_init(void *tree);
void eu_search_tree_fini(void *tree, void (*free_node)(void *));

void eu_search_tree_init(void *tree)
{
}

void eu_search_tree_fini(void *tree, void (*free_node)(void *))
{
}
