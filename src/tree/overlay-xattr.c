/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xattrs of an inode of an upper directory: what the overlay wrote there for itself,
 * and what is left for a tree.
 *
 * The kernel escapes what a user of the view calls trusted.overlay.X, so whatever begins
 * like this and is not escaped is the overlay's.  A name that is not known here may
 * change what the entry means, so it is refused rather than dropped.
 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tree/private.h"

#define PREFIX OVERLAY_XATTR_PREFIX
#define ESCAPE "overlay."

static int refuse(const struct tree_node *node, const struct tree_xattr *xattr,
		  struct cop_error *err)
{
	auto_free char *path = tree_path(node);
	const char *shown = path ? path : node->name;

	if (strcmp(xattr->key, PREFIX "protattr") == 0)
		return err_set(err, -EOPNOTSUPP,
			       "'%s' is immutable or append-only, which no tree can "
			       "keep; take the flag off with chattr -i -a",
			       shown);
	return err_set(err, -EOPNOTSUPP,
		       "'%s' has xattr '%s' of an overlay that is newer", shown,
		       xattr->key);
}

static int take_mark(const struct tree_node *node, const struct tree_xattr *xattr,
		     struct overlay_marks *marks, struct cop_error *err)
{
	static const char *const dropped[] = {"impure", "nlink", "origin", "upper",
					      "uuid"};
	const char *name = xattr->key + strlen(PREFIX);

	if (strcmp(name, "opaque") == 0) {
		marks->opaque = xattr->size == 1 && xattr->value[0] == 'y';
		return 0;
	}
	if (strcmp(name, "metacopy") == 0) {
		marks->metacopy = true;
		return 0;
	}
	if (strcmp(name, "redirect") == 0) {
		marks->redirect = xattr->value;
		marks->redirect_size = xattr->size;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (strcmp(name, dropped[i]) == 0)
			return 0;
	return refuse(node, xattr, err);
}

int overlay_take_marks(struct tree *tree, struct tree_node *node,
		       struct overlay_marks *ret_marks, struct cop_error *err)
{
	struct overlay_marks marks = {};
	uint16_t n_kept = 0;

	for (uint32_t i = 0; i < node->n_xattrs; i++) {
		struct tree_xattr xattr = node->xattrs[i];

		if (text_starts_with(xattr.key, PREFIX ESCAPE)) {
			const char *name = xattr.key + strlen(PREFIX ESCAPE);
			char key[TREE_NAME_MAX + 1];

			(void)snprintf(key, sizeof(key), PREFIX "%s", name);
			xattr.key = arena_memdup(tree->arena, key, strlen(key));
			if (!xattr.key)
				return err_oom(err);
		} else if (text_starts_with(xattr.key, PREFIX)) {
			int r = take_mark(node, &xattr, &marks, err);

			if (r < 0)
				return r;
			continue;
		}
		/* Still sorted: nothing else with the prefix is left. */
		node->xattrs[n_kept++] = xattr;
	}
	node->n_xattrs = n_kept;
	*ret_marks = marks;
	return 0;
}
