/* SPDX-License-Identifier: Apache-2.0 */
/* File systems of devices: org.osbuild.ext4, xfs, btrfs and fat differ in their type and
 * in the options that their schemas let through. */
#include <stdio.h>
#include <string.h>

#include "base/mount.h"
#include "modules/mounts/mounts.h"
#include "json/json.h"

static const struct {
	const char *module, *type;
} types[] = {
	{"org.osbuild.btrfs", "btrfs"},
	{"org.osbuild.ext4", "ext4"},
	{"org.osbuild.fat", "vfat"},
	{"org.osbuild.xfs", "xfs"},
};

static const char *type_of(const struct service_call *call)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].module, service_name(call)) == 0)
			return types[i].type;
	return NULL;
}

static int set_text(int context, const json_t *options, const char *key,
		    struct cop_error *err)
{
	const json_t *value = json_object_get(options, key);
	char number[32];

	if (!value)
		return 0;
	if (json_is_text(value))
		return mount_set_text(context, key, json_string_value(value), err);
	if (!json_is_integer(value))
		return err_set(err, -EINVAL, "'%s' is neither a string nor a number",
			       key);
	(void)snprintf(number, sizeof(number), "%lld",
		       (long long)json_integer_value(value));
	return mount_set_text(context, key, number, err);
}

static int set_options(int context, const json_t *options, struct cop_error *err)
{
	static const char *const flags[] = {"norecovery"};
	static const char *const texts[] = {"uid",	 "gid",	   "umask",
					    "shortname", "subvol", "compress"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags) && r == 0; i++)
		if (json_is_true(json_object_get(options, flags[i])))
			r = mount_set_flag(context, flags[i], err);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = set_text(context, options, texts[i], err);
	if (r == 0 && json_is_true(json_object_get(options, "readonly")))
		r = mount_set_flag(context, "ro", err);
	return r;
}

static int mount_device(const char *type, const char *source, const json_t *options,
			struct cop_error *err)
{
	auto_close int context = mount_open(type, err);
	int r;

	if (context < 0)
		return context;
	r = mount_set_text(context, "source", source, err);
	if (r == 0)
		r = set_options(context, options, err);
	return r < 0 ? r
		     : mount_create(context,
				    json_is_true(json_object_get(options, "readonly")),
				    err);
}

static int mount_at(struct service_call *call, int root_fd, const json_t *arguments,
		    const char *target, struct cop_error *err)
{
	auto_close int place = -EBADF, mount = -EBADF;
	const char *source;
	json_t *options;
	int r = json_get_object(arguments, "options", "arguments", &options, err);

	if (r == 0)
		r = json_get_string(arguments, "source", "arguments", &source, err);
	if (r != 0)
		return r;
	mount = mount_device(type_of(call), source, options, err);
	if (mount < 0)
		return err_prefix(err, mount, "'%s'", source);
	place = mount_make_place(root_fd, target, err);
	return place < 0 ? place : mount_keep(call, TAKE_FD(mount), place, err);
}

int mount_filesystem(struct service_call *call, const char *method, json_t *arguments,
		     json_t **ret_reply, struct cop_error *err)
{
	auto_close int root_fd = -EBADF;
	const char *root, *target;
	int r;

	if (strcmp(method, "mount") != 0 || *service_state(call))
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	root_fd = mount_target(arguments, &root, &target, err);
	if (root_fd < 0)
		return root_fd;
	r = mount_at(call, root_fd, arguments, target, err);
	if (r < 0)
		return err_prefix(err, r, "mount on '%s'", target);
	*ret_reply = json_pack("s++", root, "/", target + strspn(target, "/"));
	return *ret_reply ? 0 : err_oom(err);
}
