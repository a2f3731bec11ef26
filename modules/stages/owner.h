/* SPDX-License-Identifier: Apache-2.0 */
/* Whose a file is to be: "uid" and "gid", or "user" and "group" that the tree knows. */
#pragma once

#include "modkit/kit.h"

struct owner {
	uid_t uid;
	gid_t gid;
};

/* owner_read() - from the members of @json; 0 without them.  -EINVAL for a number that is
 * out of range, or both a number and a name; -ENOENT for a name that the tree does not
 * know. */
int owner_read(struct kit *kit, const json_t *json, const char *where,
	       struct owner *ret_owner);
