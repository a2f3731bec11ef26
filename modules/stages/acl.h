/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs as the kernel keeps them, and as text. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* acl_text() - "user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r--" appended; ids
 * are numbers.  -EBADMSG when @value is not an ACL. */
int acl_text(const void *value, size_t size, struct buf *text, struct cop_error *err);
