/* SPDX-License-Identifier: Apache-2.0 */
/* Owner, xattrs, mode and times of one file that was just made. */
#pragma once

#include "tree/tree.h"

enum attributes_mode {
	/* What cannot be set is an error that names it. */
	ATTRIBUTES_STRICT,
	/* What we may not set stays as it is; a plain user's files stay readable. */
	ATTRIBUTES_TOLERANT,
};

/*
 * attributes_apply() - give the file at @fd what @inode says, content and type excepted
 * @is_path: @fd was opened with O_PATH
 *
 * Set-id bits go only where the owner is the right one.  The message of an error says
 * what could not be set and leaves the path to the caller.  Any thread.
 */
int attributes_apply(int fd, bool is_path, const struct tree_node *inode,
		     enum attributes_mode mode, struct cop_error *err);

/* attributes_needing() - @text, which names what is missing, when @code is -EPERM or
 * -EACCES, else "" */
const char *attributes_needing(int code, const char *text);
