/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with given content, mode and owner.  A file that is there is replaced as a whole,
 * under another name first; missing directories on the way are made.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/owner.h"
#include "modules/stages/stages.h"
#include "json/json.h"

struct file {
	const char *path;
	const char *checksum;
	int64_t mode;
	struct owner owner;
};

static int read_file(struct kit *kit, const json_t *json, struct file *file)
{
	static const char *const keys[] = {"path", "checksum", "mode",	"uid",
					   "gid",  "user",     "group", NULL};
	int r = json_only_keys(json, keys, "files", kit->err);

	if (r == 0)
		r = json_get_string(json, "path", "files", &file->path, kit->err);
	if (r == 0)
		r = json_get_string(json, "checksum", file->path, &file->checksum,
				    kit->err);
	if (r == 0)
		r = json_optional_integer(json, "mode", file->path, &file->mode,
					  kit->err);
	if (r < 0)
		return r;
	if (file->mode < 0 || file->mode > 07777)
		return err_set(kit->err, -EINVAL, "mode %lld of '%s' is not 0 to 4095",
			       (long long)file->mode, file->path);
	return owner_read(kit, json, file->path, &file->owner);
}

/* Owner before mode: chown takes set-id bits away. */
static int fill(int fd, int input_fd, const struct file *file, struct cop_error *err)
{
	auto_close int from =
		fs_open_plain(input_fd, file->checksum, O_RDONLY | O_NONBLOCK, 0, err);
	struct stat st;
	int r;

	if (from < 0)
		return from;
	if (fstat(from, &st) < 0)
		return err_errno(err, "stat '%s'", file->checksum);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is not a regular file",
			       file->checksum);
	r = fs_copy_data(from, fd, (uint64_t)st.st_size, err);
	if (r < 0)
		return r;
	if (fchown(fd, file->owner.uid, file->owner.gid) < 0)
		return err_errno(err, "chown");
	if (fchmod(fd, (mode_t)file->mode) < 0)
		return err_errno(err, "chmod");
	return 0;
}

static int place(struct kit *kit, int input_fd, const struct file *file)
{
	auto_close int parent_fd = -EBADF, fd = -EBADF;
	char name[NAME_MAX + 1], temporary[FS_TEMPORARY_NAME];
	int r = root_make_parents(kit->tree_fd, file->path, 0755, kit->err);

	if (r < 0)
		return r;
	parent_fd = root_open_parent(kit->tree_fd, file->path, name, kit->err);
	if (parent_fd < 0)
		return parent_fd;
	fd = openat(parent_fd, fs_temporary_name(temporary),
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(kit->err, "create '%s'", file->path);
	r = fill(fd, input_fd, file, kit->err);
	if (r >= 0 && renameat(parent_fd, temporary, parent_fd, name) < 0)
		r = err_errno(kit->err, "replace");
	if (r < 0) {
		(void)unlinkat(parent_fd, temporary, 0);
		return err_prefix(kit->err, r, "'%s'", file->path);
	}
	return 0;
}

int stage_files(struct kit *kit)
{
	static const char *const keys[] = {"files", NULL};
	const char *input = kit_input_path(kit, "files");
	auto_close int input_fd = -EBADF;
	json_t *files = NULL;
	int r;

	if (!input)
		return -EINVAL;
	input_fd = open(input, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (input_fd < 0)
		return err_errno(kit->err, "open input '%s'", input);
	r = json_only_keys(kit->options, keys, "options", kit->err);
	if (r == 0)
		r = json_get_array(kit->options, "files", "options", &files, kit->err);
	for (size_t i = 0; r == 0 && i < json_array_size(files); i++) {
		struct file file = {.mode = 0644};

		r = read_file(kit, json_array_get(files, i), &file);
		if (r == 0)
			r = place(kit, input_fd, &file);
	}
	return r;
}
