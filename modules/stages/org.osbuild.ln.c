/* SPDX-License-Identifier: Apache-2.0 */
/* Symlinks and hard links in the tree and in mounts. */
#include <fcntl.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/location.h"
#include "modules/stages/stages.h"

/*
 * What a hard link points to: a location, or a path as it is seen in the sandbox.  Any
 * other path is meant below the root that the link is in.
 */
static const char *below_root(const struct kit *kit, const char *target, bool *ret_tree)
{
	const size_t size = strlen(kit->tree_path);

	*ret_tree = strncmp(target, kit->tree_path, size) == 0 && target[size] == '/';
	return *ret_tree ? target + size : target;
}

static int hard_link(struct kit *kit, const char *target, const struct location *link,
		     int link_parent, const char *link_name)
{
	cleanup_with(location_done) struct location from = LOCATION_NONE;
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	bool in_tree;
	int r = 0;

	if (strstr(target, "://")) {
		r = location_open(kit, target, &from);
	} else {
		from.path = below_root(kit, target, &in_tree);
		from.root_fd =
			fcntl(in_tree ? kit->tree_fd : link->root_fd, F_DUPFD_CLOEXEC, 3);
	}
	if (r < 0)
		return r;
	parent = root_open_parent(from.root_fd, from.path, name, kit->err);
	if (parent < 0)
		return parent;
	if (linkat(parent, name, link_parent, link_name, 0) < 0)
		return err_errno(kit->err, "hard link to '%s'", target);
	return 0;
}

static int make_link(struct kit *kit, const json_t *item)
{
	cleanup_with(location_done) struct location link = LOCATION_NONE;
	const char *target = NULL, *link_name = NULL;
	bool symbolic = false;
	const struct option options[] = {NEEDED_TEXT("target", target),
					 NEEDED_TEXT("link_name", link_name),
					 OPTION_FLAG("symbolic", symbolic)};
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	int r = options_only(item, "paths", options, ARRAY_SIZE(options), kit->err);

	if (r == 0)
		r = location_open(kit, link_name, &link);
	if (r == 0 && link.inside)
		r = err_set(kit->err, -EINVAL, "link_name '%s' does not end in a name",
			    link_name);
	if (r < 0)
		return r;
	kit_log("linking '%s' -> '%s'", link_name, target);
	parent = root_open_parent(link.root_fd, link.path, name, kit->err);
	if (parent < 0)
		return parent;
	if (!symbolic)
		r = hard_link(kit, target, &link, parent, name);
	else if (symlinkat(target, parent, name) < 0)
		r = err_errno(kit->err, "make symlink");
	return r < 0 ? err_prefix(kit->err, r, "link '%s'", link_name) : 0;
}

int stage_ln(struct kit *kit)
{
	json_t *paths = NULL;
	const struct option options[] = {NEEDED_ARRAY("paths", paths)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	for (size_t i = 0; r == 0 && i < json_array_size(paths); i++)
		r = make_link(kit, json_array_get(paths, i));
	return r;
}
