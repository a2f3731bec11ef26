/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the repositories offer: Packages files as apt fetched and verified them, looked up
 * by name.  Only the names are read in advance; the files stay mapped.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct index;

/*
 * struct index_entry - one stanza
 * @repository: borrowed from whoever added it
 * @next:       the next of the same name
 * @after:      the next in the same file
 * @reached:    by index_reach()
 */
struct index_entry {
	const char *stanza;
	size_t size;
	const char *repository;
	struct index_entry *next;
	struct index_entry *after;
	bool reached;
};

struct index *index_new(void);
struct index *index_free(struct index *index);
DEFINE_AUTO_PTR(index)

/* index_add_file() - an uncompressed Packages file; entries of one name are kept in the
 * order in which they were added */
int index_add_file(struct index *index, const char *path, const char *repository,
		   struct cop_error *err);

/* index_add_stanza() - one stanza in memory, which is copied */
int index_add_stanza(struct index *index, const char *stanza, size_t size,
		     const char *repository, struct cop_error *err);

/* index_find() - the first entry of that name; with @version, of exactly that one; NULL:
 * none */
const struct index_entry *index_find(const struct index *index, const char *name,
				     const char *version);

/* index_field() - the first line of a field without the blanks around it, appended to
 * @value.  Return: 0; -ENOENT without the field (nothing is appended); -ENOMEM. */
int index_field(const struct index_entry *entry, const char *field, struct buf *value);

/* index_is() - does the field have exactly this value? */
bool index_is(const struct index_entry *entry, const char *field, const char *value);

/*
 * index_reach() - mark what an installation of @names can possibly consist of
 *
 * That is every version of them, of all that is essential or required, and of whatever
 * these can depend on in any of their alternatives, with all that provides it;
 * recommendations too, where @recommends.
 */
int index_reach(struct index *index, const char *const *names, bool recommends,
		struct cop_error *err);

/* index_write_reached() - the marked stanzas of a file that was added, in its order;
 * without those that have the name and version of an earlier entry but another content,
 * so that apt cannot choose what index_find() does not find.  Entries of the repository
 * @aside, which may be NULL, are not looked at. */
int index_write_reached(const struct index *index, const char *path, const char *aside,
			struct buf *text, struct cop_error *err);

/* index_providers() - names of packages that provide @name, joined by ", "; at most 8 */
int index_providers(const struct index *index, const char *name, struct buf *names);

/* index_nearest() - the name that @name was probably meant to be: one that it differs
 * from in one letter; NULL: none.  Borrowed, NUL-terminated in @buf. */
const char *index_nearest(const struct index *index, const char *name, struct buf *buf);
