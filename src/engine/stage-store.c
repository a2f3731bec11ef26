/* SPDX-License-Identifier: Apache-2.0 */
/* The store as inputs may ask it: trees, made visible below the stage's inputs, and the
 * directories of sources. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/mount.h"
#include "engine/stage.h"
#include "store/store.h"
#include "json/json.h"

int stage_add_reader(struct stage *stage, const char *id, const char **ret_path,
		     struct cop_error *err)
{
	struct cop_reader **readers, *reader;
	int r;

	readers = reallocarray(stage->readers, stage->n_readers + 1, sizeof(*readers));
	if (!readers)
		return err_oom(err);
	stage->readers = readers;
	r = run_read_tree(stage->run, stage->manifest, id, &reader, err);
	if (r < 0)
		return r;
	readers[stage->n_readers++] = reader;
	*ret_path = cop_reader_path(reader);
	return 0;
}

char *stage_to_sandbox(const struct stage *stage, const char *part, const char *path)
{
	size_t length = strlen(stage->work), part_length = strlen(part);
	char *inside = NULL;

	if (strncmp(path, stage->work, length) != 0 || path[length] != '/' ||
	    strncmp(path + length + 1, part, part_length) != 0)
		return NULL;
	path += length + 1 + part_length;
	if ((*path && *path != '/') || strstr(path, "/../") ||
	    (strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0))
		return NULL;
	path += strspn(path, "/");
	/* osbuild shows the root of all mounts in this way. */
	if (asprintf(&inside, "/run/osbuild/%s/%s", part, *path ? path : ".") < 0)
		return NULL;
	return inside;
}

/* A symlink in somebody's tree must not lead out of it.  Return: an O_PATH fd. */
static int open_subtree(const char *tree, const char *subtree, struct cop_error *err)
{
	auto_close int tree_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (tree_fd < 0)
		return err_errno(err, "open '%s'", tree);
	subtree += strspn(subtree, "/");
	return *subtree ? fs_open_in_root(tree_fd, subtree, O_PATH, 0, err)
			: TAKE_FD(tree_fd);
}

/* Nothing is mounted now: the sandbox will bind it there.  @inside is taken over. */
static int add_bind(struct stage *stage, int fd, char *inside, struct cop_error *err)
{
	auto_free char *target = inside;
	auto_buf source = {};
	char link[64], path[PATH_MAX];
	struct sandbox_bind *binds;
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return err_errno(err, "read '%s'", link);
	if (buf_append(&source, path, (size_t)n) < 0)
		return err_oom(err);
	binds = reallocarray(stage->binds, stage->n_binds + 1, sizeof(*binds));
	if (!binds)
		return err_oom(err);
	stage->binds = binds;
	binds[stage->n_binds++] = (struct sandbox_bind){.source = buf_take(&source),
							.target = TAKE_PTR(target)};
	return 0;
}

/* Modules look at what they asked for, so it is mounted here where that is permitted. */
static int mount_subtree(const struct stage *stage, int fd, const char *inside,
			 struct cop_error *err)
{
	auto_close int inputs =
		openat(stage->work_fd, "inputs", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int place = -EBADF, mount = -EBADF;

	if (inputs < 0)
		return err_errno(err, "open '%s/inputs'", stage->work);
	place = fs_open_plain(inputs, inside + strlen(SANDBOX_INPUTS "/"), O_PATH, 0,
			      err);
	if (place < 0)
		return place;
	mount = mount_clone(fd, "", true, err);
	return mount < 0 ? mount : mount_attach(mount, place, "", err);
}

static int show_subtree(struct stage *stage, const char *tree, const char *subtree,
			const char *target, struct cop_error *err)
{
	auto_free char *inside = stage_to_sandbox(stage, "inputs", target);
	auto_close int fd = -EBADF;

	if (!inside)
		return err_set(err, -EINVAL, "'%s' is not below the inputs", target);
	fd = open_subtree(tree, subtree, err);
	if (fd < 0)
		return fd;
	return stage->may_mount ? mount_subtree(stage, fd, inside, err)
				: add_bind(stage, fd, TAKE_PTR(inside), err);
}

static int serve_tree(struct stage *stage, const json_t *request, json_t **ret_reply,
		      struct cop_error *err)
{
	const char *id = json_string_value(json_object_get(request, "object-id"));
	const char *target = json_string_value(json_object_get(request, "target"));
	const char *subtree = json_string_value(json_object_get(request, "subtree"));
	const char *path = NULL;
	int r;

	if (!id)
		return err_set(err, -EINVAL, "read-tree: 'object-id' is missing");
	r = stage_add_reader(stage, id, &path, err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && target) {
		r = show_subtree(stage, path, subtree ? subtree : "/", target, err);
		if (r < 0)
			return r;
		path = target;
	}
	*ret_reply = json_pack("{s:s?}", "path", path);
	return *ret_reply ? 0 : err_oom(err);
}

static int serve_source(const struct stage *stage, const json_t *request,
			json_t **ret_reply, struct cop_error *err)
{
	const char *name = json_string_value(json_object_get(request, "name"));

	if (!name || strchr(name, '/') || *name == '.')
		return err_set(err, -EINVAL, "source: 'name' is missing or wrong");
	*ret_reply = json_pack("{s:s++}", "path", store_sources_path(stage->run->store),
			       "/", name);
	return *ret_reply ? 0 : err_oom(err);
}

/* The text of a key that may be missing or null; NULL: it is neither that nor part of a
 * name. */
static const char *name_part(const json_t *request, const char *key)
{
	const json_t *value = json_object_get(request, key);

	if (!value || json_is_null(value))
		return "";
	return json_is_text(value) && !strchr(json_string_value(value), '/')
		       ? json_string_value(value)
		       : NULL;
}

static int make_directory(const struct stage *stage, const json_t *request,
			  json_t **ret_reply, struct cop_error *err)
{
	auto_close int inputs = openat(stage->work_fd, "inputs", O_PATH | O_CLOEXEC);
	const char *prefix = name_part(request, "prefix");
	const char *suffix = name_part(request, "suffix");
	char random[FS_TEMPORARY_NAME], name[NAME_MAX + 1];
	int n;

	if (!prefix || !suffix)
		return err_set(err, -EINVAL, "mkdtemp: 'prefix' or 'suffix' is wrong");
	n = snprintf(name, sizeof(name), "%s%s%s", prefix, fs_temporary_name(random),
		     suffix);
	if (n < 0 || (size_t)n >= sizeof(name))
		return err_set(err, -ENAMETOOLONG, "mkdtemp: the name is too long");
	if (mkdirat(inputs, name, 0700) < 0)
		return err_errno(err, "make a directory");
	*ret_reply = json_pack("{s:s++}", "path", stage->work, "/inputs/", name);
	return *ret_reply ? 0 : err_oom(err);
}

int stage_serve_store(void *data, const json_t *request, struct comm_fds *fds,
		      json_t **ret_reply, struct cop_error *err)
{
	struct stage *stage = data;
	const char *method = json_string_value(json_object_get(request, "method"));

	(void)fds;
	if (method &&
	    (strcmp(method, "read-tree") == 0 || strcmp(method, "read-tree-at") == 0))
		return serve_tree(stage, request, ret_reply, err);
	if (method && strcmp(method, "source") == 0)
		return serve_source(stage, request, ret_reply, err);
	if (method && strcmp(method, "mkdtemp") == 0)
		return make_directory(stage, request, ret_reply, err);
	return err_set(err, -EINVAL, "the store has no method '%s'",
		       method ? method : "");
}
