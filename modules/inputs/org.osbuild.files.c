/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files by checksum out of the sources, as links into the target (a copy where that is on
 * another file system), and single files out of other pipelines' trees.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "modules/inputs/inputs.h"
#include "modules/inputs/tree-store.h"
#include "json/json.h"

#define KIND "org.osbuild.files"

struct files {
	int store_fd;
	int target_fd;
	int source_fd; /* opened when it is first needed */
	const char *target;
	json_t *mapped;
};

static void files_done(struct files *files)
{
	closep(&files->store_fd);
	closep(&files->target_fd);
	closep(&files->source_fd);
	json_decref(files->mapped);
}

static int copy_file(const struct files *files, const char *name, struct cop_error *err)
{
	auto_close int from = openat(files->source_fd, name,
				     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_close int to = -EBADF;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return err_errno(err, "open source '%s'", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "source '%s' is no file", name);
	to = openat(files->target_fd, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (to < 0)
		return err_errno(err, "make '%s/%s'", files->target, name);
	return fs_copy_data(from, to, (uint64_t)st.st_size, err);
}

static int open_source(struct files *files, struct cop_error *err)
{
	auto_free char *path = NULL;
	int r;

	if (files->source_fd >= 0)
		return 0;
	r = store_source(files->store_fd, KIND, &path, err);
	if (r < 0)
		return r;
	files->source_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return files->source_fd < 0 ? err_errno(err, "open '%s'", path) : 0;
}

static int map_source(struct files *files, const char *name, struct cop_error *err)
{
	int r = open_source(files, err);

	if (r < 0)
		return r;
	if (strchr(name, '/') || *name == '.')
		return err_set(err, -EINVAL, "'%.200s' is no source item", name);
	if (linkat(files->source_fd, name, files->target_fd, name, 0) == 0)
		return 0;
	if (errno == ENOENT)
		return err_set(err, -ENOENT, "source '%s' has not been fetched", name);
	if (errno != EXDEV && errno != EPERM && errno != EMLINK)
		return err_errno(err, "link source '%s'", name);
	return copy_file(files, name, err);
}

/* The place is made here; the engine puts the file over it. */
static int map_pipeline(struct files *files, const char *id, const char *path,
			struct cop_error *err)
{
	auto_free char *directory = strdup(path), *target = NULL;
	auto_close int fd = -EBADF;
	char *slash;
	int r = 0;

	if (!directory || asprintf(&target, "%s/%s", files->target, path) < 0) {
		target = NULL;
		return err_oom(err);
	}
	slash = strrchr(directory, '/');
	if (slash) {
		*slash = '\0';
		r = fs_make_dirs(files->target_fd, directory, 0755, err);
	}
	if (r < 0)
		return r;
	fd = fs_open_plain(files->target_fd, path, O_WRONLY | O_CREAT, 0644, err);
	if (fd < 0)
		return fd;
	r = store_read_tree_at(files->store_fd, id, target, path, err);
	if (r == 0)
		return err_set(err, -ENOENT, "there is no tree '%s'", id);
	return r < 0 ? r : 0;
}

static int map_one(struct files *files, bool is_source, const char *reference,
		   const json_t *options, struct cop_error *err)
{
	json_t *metadata = NULL;
	const char *name = reference;
	auto_json *empty = json_object();
	int r = json_optional_object(options, "metadata", reference, &metadata, err);

	if (r == 0 && !is_source) {
		r = json_get_string(options, "file", reference, &name, err);
		if (r < 0)
			return r;
		name += strspn(name, "/");
		r = map_pipeline(files, reference, name, err);
	} else if (r == 0) {
		r = map_source(files, name, err);
	}
	if (r < 0)
		return r;
	if (!empty ||
	    json_object_set(files->mapped, name, metadata ? metadata : empty) < 0)
		return err_oom(err);
	return 0;
}

int input_files(struct service_call *call, const char *method, json_t *arguments,
		json_t **ret_reply, struct cop_error *err)
{
	cleanup_with(files_done) struct files files = {
		.store_fd = -EBADF, .target_fd = -EBADF, .source_fd = -EBADF};
	const char *origin, *reference;
	json_t *refs, *options;
	int r;

	(void)call;
	if (strcmp(method, "map") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	r = json_get_string(arguments, "target", "arguments", &files.target, err);
	if (r == 0)
		r = json_get_string(arguments, "origin", "arguments", &origin, err);
	if (r == 0)
		r = json_get_object(arguments, "refs", "arguments", &refs, err);
	if (r != 0)
		return r;
	files.store_fd = store_connect(arguments, err);
	if (files.store_fd < 0)
		return files.store_fd;
	files.target_fd = open(files.target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (files.target_fd < 0)
		return err_errno(err, "open '%s'", files.target);
	files.mapped = json_object();
	json_object_foreach (refs, reference, options) {
		r = map_one(&files, strcmp(origin, "org.osbuild.source") == 0, reference,
			    options, err);
		if (r < 0)
			return r;
	}
	*ret_reply = json_pack("{s:s, s:{s:O}}", "path", files.target, "data", "files",
			       files.mapped);
	return *ret_reply ? 0 : err_oom(err);
}
