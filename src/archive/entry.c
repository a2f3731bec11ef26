/* SPDX-License-Identifier: Apache-2.0 */
/* From an entry of libarchive to a node of a tree. */
#include "archive/entry.h"

#include <sys/sysmacros.h>

#include "tar/acl.h"
#include "tree/scan.h"

#define ID_MAX (UINT32_MAX - 1)

static int read_owner(struct archive_entry *entry, struct tree_node *node,
		      struct cop_error *err)
{
	la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

	if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
		return err_set(err, -ERANGE, "owner %lld:%lld is out of range",
			       (long long)uid, (long long)gid);
	node->uid = (uint32_t)uid;
	node->gid = (uint32_t)gid;
	return 0;
}

/* libarchive gives -1.25 as -1 and 0.25, where the kernel has -2 and 0.75. */
static void read_time(struct archive_entry *entry, struct tree_node *node)
{
	long nsec = archive_entry_mtime_nsec(entry);

	node->mtime_sec = archive_entry_mtime(entry);
	if (nsec > 0 && node->mtime_sec < 0) {
		node->mtime_sec--;
		nsec = 1000000000 - nsec;
	}
	node->mtime_nsec = (uint32_t)nsec;
}

static int read_type(struct archive_entry *entry, struct tree *tree,
		     struct tree_node *node, struct cop_error *err)
{
	const char *target;

	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
	case AE_IFDIR:
	case AE_IFIFO:
		return 0;
	case AE_IFCHR:
	case AE_IFBLK:
		return tree_rdev(makedev((unsigned int)archive_entry_rdevmajor(entry),
					 (unsigned int)archive_entry_rdevminor(entry)),
				 &node->rdev) < 0
			       ? err_set(err, -ERANGE, "its device number is too large")
			       : 0;
	case AE_IFLNK:
		target = archive_entry_symlink(entry);
		return tree_set_target(tree, node, target ? target : "",
				       target ? strlen(target) : 0, err);
	default:
		return err_set(err, -EBADMSG, "an entry of unknown type");
	}
}

static int read_xattrs(struct archive_entry *entry, struct tree *tree,
		       struct tree_node *node, uint64_t *n_foreign, struct cop_error *err)
{
	const char *key;
	const void *value;
	size_t size;
	int r = 0;

	(void)archive_entry_xattr_reset(entry);
	while (r == 0 &&
	       archive_entry_xattr_next(entry, &key, &value, &size) == ARCHIVE_OK) {
		switch (tree_xattr_kind(key)) {
		case TREE_XATTR_TAKEN:
			r = tree_set_xattr(tree, node, key, value ? value : "", size,
					   err);
			break;
		case TREE_XATTR_LEFT_OUT:
			break;
		case TREE_XATTR_FOREIGN:
			(*n_foreign)++;
			break;
		case TREE_XATTR_UNKNOWN:
			r = err_set(err, -EINVAL,
				    "it has xattr '%s' of a kind that is not known", key);
			break;
		}
	}
	return r;
}

static int tag_of(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return ACL_TAG_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER:
		return ACL_TAG_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return ACL_TAG_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return ACL_TAG_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK:
		return ACL_TAG_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return ACL_TAG_OTHER;
	default:
		return -1;
	}
}

static int collect_acl(struct archive_entry *entry, int which, bool need_ids,
		       struct acl_list *list, struct cop_error *err)
{
	int type, permset, tag, id;
	const char *name;

	if (archive_entry_acl_reset(entry, which) == 0)
		return 0;
	while (archive_entry_acl_next(entry, which, &type, &permset, &tag, &id, &name) ==
	       ARCHIVE_OK) {
		struct acl_item item = {.tag = tag_of(tag), .perm = permset & 7, .id = 0};

		if (item.tag < 0)
			return err_set(err, -EBADMSG, "its ACL has an unknown entry");
		if (acl_tag_has_id(item.tag)) {
			if (id < 0 && need_ids)
				return err_set(err, -EINVAL,
					       "its ACL names '%s' without a number; tar "
					       "--xattrs-include='*' writes numbers",
					       name ? name : "");
			item.id = (uint32_t)id;
		}
		if (acl_list_add(list, &item) < 0)
			return err_set(err, -E2BIG, "its ACL is too long");
	}
	return 0;
}

/* The mode holds the mask where there is one, as the kernel has it; libarchive puts the
 * rights of the owning group there. */
static void mode_from_acl(struct tree_node *node, const struct acl_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].tag == ACL_TAG_MASK)
			node->mode = (node->mode & ~(uint32_t)070) |
				     (uint32_t)list->items[i].perm << 3;
}

static int read_acl(struct archive_entry *entry, int which, struct tree *tree,
		    struct tree_node *node, struct cop_error *err)
{
	const bool is_access = which == ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	const char *key = is_access ? ACL_ACCESS_KEY : ACL_DEFAULT_KEY;
	/* GNU tar may have written it as an xattr as well. */
	const bool is_known = tree_find_xattr(node, key) != NULL;
	struct acl_list list = {};
	auto_buf value = {};
	int r;

	if (!(archive_entry_acl_types(entry) & which))
		return 0;
	r = collect_acl(entry, which, !is_known, &list, err);
	/* What the mode says already is no ACL. */
	if (r < 0 || list.n == 0 || (is_access && list.n <= 3))
		return r;
	if (is_access)
		mode_from_acl(node, &list);
	if (is_known)
		return 0;
	acl_list_sort(&list);
	if (acl_value(&list, &value) < 0)
		return err_oom(err);
	return tree_set_xattr(tree, node, key, value.data, value.size, err);
}

int entry_read(struct archive_entry *entry, struct tree *tree, struct tree_node *node,
	       uint64_t *n_foreign, struct cop_error *err)
{
	int r;

	node->mode = archive_entry_mode(entry) & (S_IFMT | 07777);
	read_time(entry, node);
	r = read_owner(entry, node, err);
	if (r == 0)
		r = read_type(entry, tree, node, err);
	if (r == 0)
		r = read_xattrs(entry, tree, node, n_foreign, err);
	if (r == 0)
		r = read_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, tree, node, err);
	if (r == 0)
		r = read_acl(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, tree, node, err);
	return r;
}
