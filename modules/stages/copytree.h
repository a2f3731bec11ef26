/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and trees copied as `cp -a` does.  Symlinks on the way are resolved inside the
 * root they lie in; the last part of a source is never followed.
 */
#pragma once

#include "modules/stages/location.h"

/*
 * struct copytree_options
 * @remove_destination: a destination that is not a directory goes first; else a symlink
 *                      to a file is written through
 * @owner, @group:      of every copy, in place of the source's; NULL: the source's
 */
struct copytree_options {
	bool remove_destination;
	const uid_t *owner;
	const gid_t *group;
};

/* copytree() - one thing, or what is in a directory where @from is meant so */
int copytree(const struct location *from, const struct location *to,
	     const struct copytree_options *options, struct cop_error *err);
