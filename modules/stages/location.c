/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/location.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "json/json.h"

void location_done(struct location *location)
{
	closep(&location->root_fd);
}

/* The directory of an input or mount, by its name. */
static int open_named(struct kit *kit, const json_t *table, const char *kind,
		      const char *name, size_t size)
{
	char key[256];
	json_t *entry = NULL;
	const char *path = NULL;
	int fd, r;

	/* mount:///PATH is below the directory of all mounts */
	if (size == 0 && table == kit->mounts) {
		fd = open(kit->mounts_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? err_errno(kit->err, "open the mounts") : fd;
	}
	if (size == 0 || size >= sizeof(key))
		return err_set(kit->err, -EINVAL, "unknown %s '%.*s'", kind,
			       (int)min_u64(size, 100), name);
	(void)snprintf(key, sizeof(key), "%.*s", (int)size, name);
	r = json_optional_object(table, key, kind, &entry, kit->err);
	if (r < 0)
		return r;
	if (!entry)
		return err_set(kit->err, -EINVAL, "unknown %s '%s'", kind, key);
	r = json_get_string(entry, "path", key, &path, kit->err);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(kit->err, "open %s '%s'", kind, key) : fd;
}

static int open_tree(struct kit *kit)
{
	int fd = fcntl(kit->tree_fd, F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? err_errno(kit->err, "open the tree") : fd;
}

int location_open(struct kit *kit, const char *text, struct location *ret)
{
	const char *scheme_end = strstr(text, "://");
	const char *name = scheme_end ? scheme_end + 3 : text;
	const char *path = scheme_end ? strchr(name, '/') : text;
	int fd;

	if (!path)
		return err_set(kit->err, -EINVAL, "location '%s' has no path", text);
	if (!scheme_end)
		fd = open_tree(kit);
	else if (text_starts_with(text, "tree://") && path == name)
		fd = open_tree(kit);
	else if (text_starts_with(text, "input://"))
		fd = open_named(kit, kit->inputs, "input", name, (size_t)(path - name));
	else if (text_starts_with(text, "mount://"))
		fd = open_named(kit, kit->mounts, "mount", name, (size_t)(path - name));
	else
		return err_set(kit->err, -EINVAL,
			       "location '%s' is not of tree:///, input:// or mount://",
			       text);
	if (fd < 0)
		return fd;
	while (*path == '/')
		path++;
	*ret = (struct location){
		.root_fd = fd,
		.path = path,
		.inside = !*path || text_ends_with(path, "/"),
	};
	return 0;
}
