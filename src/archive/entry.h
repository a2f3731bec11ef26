/* SPDX-License-Identifier: Apache-2.0 */
/* What an entry of an archive says of an inode. */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "tree/tree.h"

/*
 * entry_read() - type, mode, owner, time, device, symlink text, xattrs and ACLs into
 * @node, whose strings come from the arena of @tree
 * @n_foreign: counts xattrs that are left out, as tree_scan() does
 *
 * Return: 0; -EBADMSG, -ERANGE, -EINVAL naming what a tree cannot hold.
 */
int entry_read(struct archive_entry *entry, struct tree *tree, struct tree_node *node,
	       uint64_t *n_foreign, struct cop_error *err);
