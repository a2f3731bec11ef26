/* SPDX-License-Identifier: Apache-2.0 */
/* Directories with mode and owner; one that is there keeps what is in it. */
#include <fcntl.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/owner.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int make(struct kit *kit, const json_t *json)
{
	static const char *const keys[] = {"path", "mode",  "uid", "gid",
					   "user", "group", NULL};
	const char *path = NULL;
	auto_close int fd = -EBADF;
	struct owner owner = {};
	int64_t mode = 0755;
	int r = json_only_keys(json, keys, "directories", kit->err);

	if (r == 0)
		r = json_get_string(json, "path", "directories", &path, kit->err);
	if (r == 0)
		r = json_optional_integer(json, "mode", path, &mode, kit->err);
	if (r == 0 && (mode < 0 || mode > 07777))
		return err_set(kit->err, -EINVAL, "mode %lld of '%s' is not 0 to 4095",
			       (long long)mode, path);
	if (r == 0)
		r = owner_read(kit, json, path, &owner);
	if (r == 0)
		r = root_make_dirs(kit->tree_fd, path, 0755, kit->err);
	if (r < 0)
		return r;
	fd = fs_open_in_root(kit->tree_fd, path, O_RDONLY | O_DIRECTORY, 0, kit->err);
	if (fd < 0)
		return fd;
	/* Owner before mode: chown takes set-id bits away. */
	if (fchown(fd, owner.uid, owner.gid) < 0 || fchmod(fd, (mode_t)mode) < 0)
		return err_errno(kit->err, "set attributes of '%s'", path);
	return 0;
}

int stage_directories(struct kit *kit)
{
	json_t *directories = NULL;
	const struct option options[] = {NEEDED_ARRAY("directories", directories)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	for (size_t i = 0; r == 0 && i < json_array_size(directories); i++)
		r = make(kit, json_array_get(directories, i));
	return r;
}
