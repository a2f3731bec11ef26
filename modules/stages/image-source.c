/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/image-source.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "modules/stages/location.h"
#include "modules/stages/walk.h"

void image_source_done(struct image_source *source)
{
	free(source->path);
	free(source->target);
	closep(&source->source_fd);
	closep(&source->parent_fd);
}

static int open_source(struct kit *kit, const char *text)
{
	cleanup_with(location_done) struct location location = LOCATION_NONE;
	const char *path;
	int r;

	if (text) {
		r = location_open(kit, text, &location);
		return r < 0 ? r
			     : fs_open_in_root(location.root_fd, location.path,
					       O_RDONLY | O_DIRECTORY, 0, kit->err);
	}
	path = kit_input_path(kit, "tree");
	if (!path)
		return kit->err->code;
	r = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return r < 0 ? err_errno(kit->err, "open the input 'tree'") : r;
}

/* The path without any symlink of the tree in it. */
static char *path_of(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n < 0 ? NULL : strndup(path, (size_t)n);
}

static int set_epoch(struct kit *kit, struct image_source *source)
{
	int64_t epoch = kit->source_epoch;
	int r = epoch < 0 ? walk_newest(source->source_fd, &epoch, kit->err) : 0;

	(void)snprintf(source->epoch, sizeof(source->epoch), "SOURCE_DATE_EPOCH=%lld",
		       (long long)(epoch > 0 ? epoch : 0));
	return r;
}

int image_source_open(struct kit *kit, const char *source, const char *filename,
		      struct image_source *ret)
{
	int r;

	*ret = (struct image_source){.source_fd = -EBADF, .parent_fd = -EBADF};
	r = open_source(kit, source);
	if (r < 0)
		return r;
	ret->source_fd = r;
	ret->path = path_of(ret->source_fd);
	if (!ret->path)
		return err_errno(kit->err, "find the path of the source");
	r = set_epoch(kit, ret);
	ret->env[0] = ret->epoch;
	return r == 0 ? tool_target(kit, filename, &ret->parent_fd, &ret->target) : r;
}
