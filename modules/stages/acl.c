/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/acl.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

static int add_entry(const struct posix_acl_xattr_entry *entry, struct buf *text)
{
	unsigned int tag = le16toh(entry->e_tag), perm = le16toh(entry->e_perm);
	const char *name;
	bool has_id = tag == ACL_USER || tag == ACL_GROUP;

	switch (tag) {
	case ACL_USER_OBJ:
	case ACL_USER:
		name = "user";
		break;
	case ACL_GROUP_OBJ:
	case ACL_GROUP:
		name = "group";
		break;
	case ACL_MASK:
		name = "mask";
		break;
	case ACL_OTHER:
		name = "other";
		break;
	default:
		return -EBADMSG;
	}
	if (text->size)
		(void)buf_append_char(text, ',');
	(void)buf_printf(text, "%s:", name);
	if (has_id)
		(void)buf_printf(text, "%u", le32toh(entry->e_id));
	return buf_printf(text, ":%c%c%c", perm & ACL_READ ? 'r' : '-',
			  perm & ACL_WRITE ? 'w' : '-', perm & ACL_EXECUTE ? 'x' : '-');
}

int acl_text(const void *value, size_t size, struct buf *text, struct cop_error *err)
{
	const char *bytes = value;
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry;

	if (size < sizeof(header) || (size - sizeof(header)) % sizeof(entry) != 0)
		return err_set(err, -EBADMSG, "an ACL of %zu bytes", size);
	memcpy(&header, bytes, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return err_set(err, -EBADMSG, "an ACL of version %u",
			       le32toh(header.a_version));
	for (size_t at = sizeof(header); at < size; at += sizeof(entry)) {
		int r;

		memcpy(&entry, bytes + at, sizeof(entry));
		r = add_entry(&entry, text);
		if (r == -EBADMSG)
			return err_set(err, r, "an ACL with an unknown entry");
	}
	return text->failed ? err_oom(err) : 0;
}
