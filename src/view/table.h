/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a copy view remembers of each inode it laid out: the node of the base that it
 * stands for, and its attributes *as they came out* on disk, which is less than the base
 * says wherever we lacked a privilege.
 */
#pragma once

#include "tree/tree.h"
#include "view/walk.h"

struct record {
	struct tree_node *base; /* a name of it; see tree_inode() */
	struct seen out;
	const struct tree_xattr *xattrs; /* as they came out */
	uint32_t n_xattrs;
	/* Changed when we looked, so that its ctime cannot tell about later changes. */
	bool young;
};

struct table;

/* table_new() - room for @capacity records */
struct table *table_new(size_t capacity);
struct table *table_free(struct table *table);
DEFINE_AUTO_PTR(table)

/*
 * table_add() - the record for an inode
 * @line: of clock_settle(), called before @entry was seen
 *
 * Return: 1 and the record, new but for xattrs; 0 when the inode has one already;
 * -ENOMEM, also beyond the capacity.
 */
int table_add(struct table *table, const struct walk_entry *entry,
	      const struct timespec *line, struct record **ret_record);

/* table_find() - by what is seen of a file now; NULL: not one of those laid out */
const struct record *table_find(const struct table *table, const struct seen *seen);

/* table_find_unchanged() - the record of a file whose content is still that of the base,
 * going by type, inode, size, mtime and ctime; else NULL */
const struct record *table_find_unchanged(const struct table *table,
					  const struct stat *st);

/* record_is_untouched() - nothing at all was done to it but reading */
bool record_is_untouched(const struct record *record, const struct seen *now);
