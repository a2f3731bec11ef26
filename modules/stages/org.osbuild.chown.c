/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of what is in the tree; names are the tree's. */
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modkit/users.h"
#include "modules/stages/stages.h"
#include "modules/stages/walk.h"
#include "json/json.h"

#define KEEP UINT32_MAX

struct owner {
	uid_t uid;
	gid_t gid;
};

static int change(int dir_fd, const char *name, const struct owner *owner, int flags,
		  struct cop_error *err)
{
	if (fchownat(dir_fd, name, owner->uid, owner->gid, flags) < 0)
		return err_errno(err, "change owner");
	return 0;
}

static int visit(void *data, int parent_fd, const char *name, const struct stat *st,
		 struct cop_error *err)
{
	(void)st;
	return change(parent_fd, name, data, AT_SYMLINK_NOFOLLOW, err);
}

/* A name of the tree; digits that are no name are a number. */
static int find(struct kit *kit, const char *text, bool is_user, uint32_t *ret)
{
	uint64_t number;
	gid_t group;
	int r = is_user ? users_find(kit->tree_fd, text, ret, &group, kit->err)
			: users_find_group(kit->tree_fd, text, ret, kit->err);

	if (r != -ENOENT || text_to_u64(text, &number) < 0)
		return r;
	if (number >= KEEP)
		return err_set(kit->err, -EINVAL, "%s is not a user or group", text);
	*ret = (uint32_t)number;
	return 0;
}

static int read_id(struct kit *kit, const json_t *item, const char *key, uint32_t *ret)
{
	const json_t *value = json_object_get(item, key);
	const char *text = NULL;
	int r;

	if (!value)
		return 0;
	if (json_is_integer(value)) {
		json_int_t number = json_integer_value(value);

		if (number < 0 || number >= KEEP)
			return err_set(kit->err, -EINVAL, "%lld is not a %s",
				       (long long)number, key);
		*ret = (uint32_t)number;
		return 0;
	}
	r = json_get_string(item, key, "items", &text, kit->err);
	return r == 0 && *text ? find(kit, text, strcmp(key, "user") == 0, ret) : r;
}

/* With everything below: symlinks themselves, the first one too.  Without: what the
 * symlink means. */
static int change_item(struct kit *kit, const char *path, const json_t *item)
{
	struct owner owner = {KEEP, KEEP};
	bool recursive = false;
	const struct option options[] = {OPTION_FLAG("recursive", recursive)};
	auto_close int parent = -EBADF, fd = -EBADF;
	char name[NAME_MAX + 1];
	int r = options_read(item, path, options, ARRAY_SIZE(options), kit->err);

	if (r == 0)
		r = read_id(kit, item, "user", &owner.uid);
	if (r == 0)
		r = read_id(kit, item, "group", &owner.gid);
	if (r < 0)
		return r;
	if (!recursive) {
		fd = fs_open_in_root(kit->tree_fd, path, O_PATH, 0, kit->err);
		return fd < 0 ? fd : change(fd, "", &owner, AT_EMPTY_PATH, kit->err);
	}
	parent = root_open_parent(kit->tree_fd, path, name, kit->err);
	if (parent < 0)
		return parent;
	r = change(parent, name, &owner, AT_SYMLINK_NOFOLLOW, kit->err);
	if (r < 0)
		return r;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? 0
							  : err_errno(kit->err, "open");
	return walk_below(fd, &(struct walk_ops){.visit = visit, .data = &owner},
			  kit->err);
}

int stage_chown(struct kit *kit)
{
	json_t *items = NULL, *item;
	const struct option options[] = {NEEDED_OBJECT("items", items)};
	const char *path;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	json_object_foreach (items, path, item) {
		r = change_item(kit, path, item);
		if (r < 0)
			return err_prefix(kit->err, r, "chown '%s'", path);
	}
	return 0;
}
