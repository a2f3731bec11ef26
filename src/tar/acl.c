/* SPDX-License-Identifier: Apache-2.0 */
#include "tar/acl.h"

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

bool acl_tag_has_id(int tag)
{
	return tag == ACL_TAG_USER || tag == ACL_TAG_GROUP;
}

int acl_list_add(struct acl_list *list, const struct acl_item *item)
{
	if (list->n == ACL_ITEMS_MAX)
		return -E2BIG;
	list->items[list->n++] = *item;
	return 0;
}

static int compare_items(const void *a, const void *b)
{
	const struct acl_item *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

void acl_list_sort(struct acl_list *list)
{
	qsort(list->items, list->n, sizeof(list->items[0]), compare_items);
}

int acl_value(const struct acl_list *list, struct buf *value)
{
	const struct posix_acl_xattr_header header = {
		.a_version = htole32(POSIX_ACL_XATTR_VERSION)};

	(void)buf_append(value, &header, sizeof(header));
	for (size_t i = 0; i < list->n; i++) {
		const struct acl_item *item = &list->items[i];
		const struct posix_acl_xattr_entry entry = {
			.e_tag = htole16((uint16_t)item->tag),
			.e_perm = htole16((uint16_t)item->perm),
			.e_id = htole32(acl_tag_has_id(item->tag) ? item->id
								  : (uint32_t)-1),
		};

		(void)buf_append(value, &entry, sizeof(entry));
	}
	return value->failed ? -ENOMEM : 0;
}
