/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in the tree and in mounts, with osbuild's meaning of its options. */
#include <fcntl.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/location.h"
#include "modules/stages/stages.h"
#include "json/json.h"

/* As Python's os.mkdir(): the umask, which is always 022 here, has its say. */
#define DEFAULT_MODE 0777
#define UMASK	     022

struct wish {
	const char *path;
	int64_t mode;
	bool parents;
	bool exist_ok;
};

static int read_wish(struct kit *kit, const json_t *json, struct wish *wish)
{
	static const char *const keys[] = {"path", "mode", "parents", "exist_ok", NULL};
	int r = json_only_keys(json, keys, "paths", kit->err);

	if (r == 0)
		r = json_get_string(json, "path", "paths", &wish->path, kit->err);
	if (r == 0)
		r = json_optional_integer(json, "mode", wish->path, &wish->mode,
					  kit->err);
	if (r == 0)
		r = json_optional_bool(json, "parents", wish->path, &wish->parents,
				       kit->err);
	if (r == 0)
		r = json_optional_bool(json, "exist_ok", wish->path, &wish->exist_ok,
				       kit->err);
	if (r < 0)
		return r;
	if (wish->mode < 0 || wish->mode > 07777)
		return err_set(kit->err, -EINVAL, "mode %lld of '%s' is not 0 to 4095",
			       (long long)wish->mode, wish->path);
	return 0;
}

static int make_parents(struct kit *kit, int root_fd, const char *path)
{
	auto_free char *parent = strdup(path);
	size_t size;

	if (!parent)
		return err_oom(kit->err);
	size = strlen(parent);
	while (size > 0 && parent[size - 1] == '/')
		size--;
	while (size > 0 && parent[size - 1] != '/')
		size--;
	parent[size] = '\0';
	return root_make_dirs(root_fd, parent, DEFAULT_MODE & ~UMASK, kit->err);
}

static bool is_directory(int root_fd, const char *path)
{
	auto_close int fd = fs_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0, NULL);

	return fd >= 0;
}

static int make(struct kit *kit, const struct wish *wish)
{
	cleanup_with(location_done) struct location place = LOCATION_NONE;
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	int r = location_open(kit, wish->path, &place);

	if (r == 0 && wish->parents)
		r = make_parents(kit, place.root_fd, place.path);
	if (r < 0)
		return r;
	parent = root_open_parent(place.root_fd, place.path, name, kit->err);
	if (parent < 0)
		return parent;
	/* mkdir keeps the sticky bit of the mode and drops the set-id bits, as Python's
	 * does; an existing directory keeps its mode. */
	if (mkdirat(parent, name, (mode_t)wish->mode & ~(mode_t)UMASK) == 0)
		return 0;
	r = -errno;
	if (r == -EEXIST && wish->exist_ok && is_directory(place.root_fd, place.path))
		return 0;
	return err_code(kit->err, r, "make directory '%s'", wish->path);
}

int stage_mkdir(struct kit *kit)
{
	static const char *const keys[] = {"paths", NULL};
	json_t *paths = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_optional_array(kit->options, "paths", "options", &paths,
					kit->err);
	for (size_t i = 0; r == 0 && i < json_array_size(paths); i++) {
		struct wish wish = {.mode = DEFAULT_MODE};

		r = read_wish(kit, json_array_get(paths, i), &wish);
		if (r == 0)
			r = make(kit, &wish);
	}
	return r;
}
