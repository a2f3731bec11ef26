/* SPDX-License-Identifier: Apache-2.0 */
/* Single files from an input, each with its own place, mode and owner. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/stages.h"
#include "json/json.h"

struct file {
	const char *path;
	const char *checksum;
	int64_t mode, uid, gid;
};

static int read_file(struct kit *kit, const json_t *json, struct file *file)
{
	static const char *const keys[] = {"path", "checksum", "mode",
					   "uid",  "gid",      NULL};
	int r = json_only_keys(json, keys, "files", kit->err);

	*file = (struct file){.mode = 0644};
	if (r == 0)
		r = json_get_string(json, "path", "files", &file->path, kit->err);
	if (r == 0)
		r = json_get_string(json, "checksum", file->path, &file->checksum,
				    kit->err);
	if (r == 0)
		r = json_optional_integer(json, "mode", file->path, &file->mode,
					  kit->err);
	if (r == 0)
		r = json_optional_integer(json, "uid", file->path, &file->uid, kit->err);
	if (r == 0)
		r = json_optional_integer(json, "gid", file->path, &file->gid, kit->err);
	if (r < 0)
		return r;
	if (file->mode < 0 || file->mode > 07777 || file->uid < 0 ||
	    file->uid >= UINT32_MAX || file->gid < 0 || file->gid >= UINT32_MAX)
		return err_set(kit->err, -EINVAL, "'%s': mode or owner is out of range",
			       file->path);
	if (strchr(file->checksum, '/'))
		return err_set(kit->err, -EINVAL, "'%s': '%s' is not a checksum",
			       file->path, file->checksum);
	return 0;
}

static int make_parents(struct kit *kit, const char *path)
{
	const char *slash = strrchr(path, '/');
	auto_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!parent)
		return err_oom(kit->err);
	return root_make_dirs(kit->tree_fd, parent, 0755, kit->err);
}

/* The whole file under a temporary name, with everything that belongs to it. */
static int write_file(struct kit *kit, int from, int parent, const char *name,
		      const struct file *file)
{
	auto_close int to =
		openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;
	int r;

	if (to < 0 || fstat(from, &st) < 0)
		return err_errno(kit->err, "create");
	r = fs_copy_data(from, to, (uint64_t)st.st_size, kit->err);
	if (r < 0)
		return r;
	/* The owner first: a change of it takes set-id bits away. */
	if (fchown(to, (uid_t)file->uid, (gid_t)file->gid) < 0 ||
	    fchmod(to, (mode_t)file->mode) < 0)
		return err_errno(kit->err, "set owner and mode");
	return 0;
}

static int place_file(struct kit *kit, int input_fd, const struct file *file)
{
	auto_close int from =
		fs_open_plain(input_fd, file->checksum, O_RDONLY, 0, kit->err);
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1], temporary[FS_TEMPORARY_NAME];
	int r;

	if (from < 0)
		return from;
	r = make_parents(kit, file->path);
	if (r < 0)
		return r;
	parent = root_open_parent(kit->tree_fd, file->path, name, kit->err);
	if (parent < 0)
		return parent;
	r = write_file(kit, from, parent, fs_temporary_name(temporary), file);
	if (r == 0 && renameat(parent, temporary, parent, name) < 0)
		r = err_errno(kit->err, "put in place");
	if (r < 0)
		(void)unlinkat(parent, temporary, 0);
	return r;
}

int stage_files(struct kit *kit)
{
	static const char *const keys[] = {"files", NULL};
	const char *input = kit_input_path(kit, "files");
	auto_close int input_fd = -EBADF;
	json_t *files = NULL;
	int r;

	if (!input)
		return kit->err->code;
	r = json_only_keys(kit->options, keys, "options", kit->err);
	if (r == 0)
		r = json_get_array(kit->options, "files", "options", &files, kit->err);
	if (r < 0)
		return r;
	input_fd = open(input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (input_fd < 0)
		return err_errno(kit->err, "open the input 'files'");
	for (size_t i = 0; r == 0 && i < json_array_size(files); i++) {
		struct file file;

		r = read_file(kit, json_array_get(files, i), &file);
		if (r == 0)
			r = place_file(kit, input_fd, &file);
		if (r < 0 && file.path)
			r = err_prefix(kit->err, r, "file '%s'", file.path);
	}
	return r;
}
