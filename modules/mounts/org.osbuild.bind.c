/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of a mount made visible in the tree.  As in osbuild, only what stands
 * between "//" and the next '/' of a location counts: tree://boot is the tree's boot, and
 * so is tree://boot/efi.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mount.h"
#include "base/text.h"
#include "modules/mounts/mounts.h"
#include "json/json.h"

/* Return: an O_PATH fd of the place, or a negative errno. */
static int open_location(const char *location, const char *tree, const char *root,
			 struct cop_error *err)
{
	const char *top = text_starts_with(location, "tree://")	   ? tree
			  : text_starts_with(location, "mount://") ? root
								   : NULL;
	auto_close int root_fd = -EBADF;
	auto_free char *name = NULL;

	if (!top)
		return err_set(err, -EINVAL,
			       "'%s' is neither below tree:// nor below mount://",
			       location);
	location = strstr(location, "://") + strlen("://");
	name = strndup(location, strcspn(location, "/?#"));
	if (!name)
		return err_oom(err);
	root_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_errno(err, "open '%s'", top);
	return *name ? fs_open_in_root(root_fd, name, O_PATH | O_DIRECTORY, 0, err)
		     : TAKE_FD(root_fd);
}

static int bind_directory(struct service_call *call, const char *source,
			  const char *target, const char *tree, const char *root,
			  struct cop_error *err)
{
	auto_close int from = open_location(source, tree, root, err);
	auto_close int to = -EBADF;
	int mount;

	if (from < 0)
		return from;
	to = open_location(target, tree, root, err);
	if (to < 0)
		return to;
	mount = mount_clone(from, "", false, err);
	return mount < 0 ? mount : mount_keep(call, mount, to, err);
}

int mount_bind_directory(struct service_call *call, const char *method, json_t *arguments,
			 json_t **ret_reply, struct cop_error *err)
{
	const char *tree, *root, *target, *source;
	json_t *options;
	int r;

	if (strcmp(method, "mount") != 0 || *service_state(call))
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	r = json_get_string(arguments, "tree", "arguments", &tree, err);
	if (r == 0)
		r = json_get_string(arguments, "root", "arguments", &root, err);
	if (r == 0)
		r = json_get_string(arguments, "target", "arguments", &target, err);
	if (r == 0)
		r = json_get_object(arguments, "options", "arguments", &options, err);
	if (r == 0)
		r = json_get_string(options, "source", "options", &source, err);
	if (r == 0)
		r = bind_directory(call, source, target, tree, root, err);
	if (r < 0)
		return r;
	*ret_reply = json_null();
	return 0;
}
