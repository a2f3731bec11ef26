/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs as the kernel keeps them in xattrs, and as tar archives have them: text. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define ACL_ACCESS_KEY	"system.posix_acl_access"
#define ACL_DEFAULT_KEY "system.posix_acl_default"

/* acl_text() - "user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r--" appended; ids
 * are numbers.  -EBADMSG when @value is not an ACL. */
int acl_text(const void *value, size_t size, struct buf *text, struct cop_error *err);

/* In the order that the kernel wants. */
enum acl_tag {
	ACL_TAG_USER_OBJ = 0x01,
	ACL_TAG_USER = 0x02,
	ACL_TAG_GROUP_OBJ = 0x04,
	ACL_TAG_GROUP = 0x08,
	ACL_TAG_MASK = 0x10,
	ACL_TAG_OTHER = 0x20,
};

struct acl_item {
	int tag;
	int perm;
	uint32_t id;
};

#define ACL_ITEMS_MAX 512
struct acl_list {
	size_t n;
	struct acl_item items[ACL_ITEMS_MAX];
};

/* acl_tag_has_id() - it speaks of one user or group */
bool acl_tag_has_id(int tag);

/* acl_list_add() - -E2BIG when it is full */
int acl_list_add(struct acl_list *list, const struct acl_item *item);

/* acl_list_sort() - into the order of the kernel; ids as libacl has them, upwards */
void acl_list_sort(struct acl_list *list);

/* acl_value() - the bytes of the xattr, appended; 0 or -ENOMEM */
int acl_value(const struct acl_list *list, struct buf *value);
