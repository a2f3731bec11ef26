/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xattrs of one inode.  Every name that the kernel lists is taken, left out by a rule
 * written here, or refused: none is lost because it could not be read.
 */
#include <sys/xattr.h>

#include <string.h>

#include "base/text.h"
#include "tree/private.h"
#include "tree/scan.h"

#define NAMES_AT_FIRST ((size_t)1024)
#define NAMES_AT_MOST  ((size_t)1024 * 1024)
/* The kernel gives no value above 64 KiB. */
#define VALUE_AT_MOST ((size_t)65536)

enum tree_xattr_kind tree_xattr_kind(const char *name)
{
	static const char *const taken[] = {"user.", "trusted.", "security."};
	static const char *const foreign[] = {
		"afs.",	       "bcachefs.",   "bcachefs_effective.",
		"btrfs.",      "ceph.",	      "cifs.",
		"gluster.",    "lustre.",     "os2.",
		"system.cifs", "system.nfs4", "system.ntfs_",
		"system.smb3", "xfsroot.",
	};

	if (strcmp(name, "security.ima") == 0 || strcmp(name, "security.evm") == 0)
		return TREE_XATTR_LEFT_OUT;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (text_starts_with(name, taken[i]))
			return TREE_XATTR_TAKEN;
	if (strcmp(name, "system.posix_acl_access") == 0 ||
	    strcmp(name, "system.posix_acl_default") == 0)
		return TREE_XATTR_TAKEN;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (text_starts_with(name, foreign[i]))
			return TREE_XATTR_FOREIGN;
	return TREE_XATTR_UNKNOWN;
}

void xattr_reader_done(struct xattr_reader *reader)
{
	buf_done(&reader->names);
	free(TAKE_PTR(reader->value));
}

/* All names, each with its NUL, into the buffer. */
static int list_names(struct xattr_reader *reader, int fd, const char *proc_path,
		      const char *path, struct cop_error *err)
{
	struct buf *names = &reader->names;
	size_t room = NAMES_AT_FIRST;

	for (;; room *= 2) {
		ssize_t n;

		buf_truncate(names, 0);
		if (buf_reserve(names, room) < 0)
			return err_oom(err);
		n = fd >= 0 ? flistxattr(fd, names->data, names->capacity - 1)
			    : llistxattr(proc_path, names->data, names->capacity - 1);
		if (n >= 0) {
			names->size = (size_t)n;
			names->data[n] = '\0';
			return 0;
		}
		if (errno == EOPNOTSUPP)
			return 0;
		if (errno != ERANGE || room >= NAMES_AT_MOST)
			return err_errno(err, "list the xattrs of '%s'", path);
	}
}

static int keep_value(struct xattr_reader *reader, struct tree *tree,
		      struct tree_node *node, const char *name, size_t size,
		      const char *path, struct cop_error *err)
{
	const struct tree_scan_options *options = reader->options;
	int r;

	if (options && options->lock)
		options->lock(options->data);
	r = tree_set_xattr(tree, node, name, reader->value, size, err);
	if (options && options->unlock)
		options->unlock(options->data);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

static int read_values(struct xattr_reader *reader, struct tree *tree,
		       struct tree_node *node, int fd, const char *proc_path,
		       const char *path, struct cop_error *err)
{
	const char *end = buf_text(&reader->names) + reader->names.size;

	for (const char *name = buf_text(&reader->names); name < end;
	     name += strlen(name) + 1) {
		enum tree_xattr_kind kind = tree_xattr_kind(name);
		ssize_t n;
		int r;

		reader->n_foreign += kind == TREE_XATTR_FOREIGN;
		if (kind == TREE_XATTR_UNKNOWN)
			return err_set(err, -EINVAL,
				       "'%s' has xattr '%s' of a kind that is not known; "
				       "remove it first",
				       path, name);
		if (kind != TREE_XATTR_TAKEN)
			continue;
		n = fd >= 0 ? fgetxattr(fd, name, reader->value, VALUE_AT_MOST)
			    : lgetxattr(proc_path, name, reader->value, VALUE_AT_MOST);
		if (n < 0)
			return err_errno(err, "read xattr '%s' of '%s'", name, path);
		r = keep_value(reader, tree, node, name, (size_t)n, path, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int xattr_read(struct xattr_reader *reader, struct tree *tree, struct tree_node *node,
	       int fd, const char *proc_path, const char *path, struct cop_error *err)
{
	uint64_t n_foreign = reader->n_foreign;
	int r = 0;

	if (!reader->value)
		reader->value = malloc(VALUE_AT_MOST);
	if (!reader->value)
		return err_oom(err);
	/* ENODATA: it went away after it was listed; the next list will lack it. */
	for (int attempt = 0; attempt < 2; attempt++) {
		node->n_xattrs = 0;
		reader->n_foreign = n_foreign;
		r = list_names(reader, fd, proc_path, path, err);
		if (r == 0)
			r = read_values(reader, tree, node, fd, proc_path, path, err);
		if (r != -ENODATA)
			break;
	}
	if (r < 0 || reader->any_size)
		return r;
	r = tree_check_xattrs(node, err);
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

int tree_read_xattrs(struct tree *tree, struct tree_node *node, const char *proc_path,
		     const char *path, uint64_t *n_foreign, struct cop_error *err)
{
	cleanup_with(xattr_reader_done) struct xattr_reader reader = {};
	int r = xattr_read(&reader, tree, node, -EBADF, proc_path, path, err);

	if (r == 0 && n_foreign)
		*n_foreign += reader.n_foreign;
	return r;
}
