/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a recipe: what they hold is read with the recipe, so that a manifest is
 * made of nothing but it and the lock. */
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/map.h"
#include "base/text.h"
#include "recipe/check.h"
#include "recipe/decode.h"

#define FILE_SIZE_MAX	    (16 * MIB)
#define DIRECTORY_DEPTH_MAX 32

static int take_file_path(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	int r = decode_text(decode, node, &decode->file->path, err);

	if (r < 0)
		return r;
	if (!check_absolute_path(decode->file->path))
		return decode_wrong(
			decode, node, err,
			"path: '%.128s' is not an absolute path without '.' and '..'",
			node->text);
	return 0;
}

static int take_file_content(struct decode *decode, const struct node *node,
			     struct cop_error *err)
{
	if (node->kind != NODE_TEXT)
		return decode_wrong(decode, node, err, "content: a text is wanted");
	/* An empty file is a file. */
	decode->file->content =
		arena_memdup(decode->recipe->arena, node->text, node->size);
	if (!decode->file->content)
		return err_oom(err);
	decode->file->size = node->size;
	decode->has_content = true;
	return 0;
}

static int take_file_source(struct decode *decode, const struct node *node,
			    struct cop_error *err)
{
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (!check_relative_path(text))
		return decode_wrong(
			decode, node, err,
			"source: '%.128s' is not a path below the recipe's directory",
			text);
	decode->source = node;
	return 0;
}

static int take_file_secret(struct decode *decode, const struct node *node,
			    struct cop_error *err)
{
	decode->file->content = "";
	return decode_secret(decode, node, &decode->file->secret, err);
}

static int take_file_mode(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	decode->has_mode = true;
	return decode_mode(decode, node, &decode->file->mode, err);
}

static int take_file_user(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	return decode_owner(decode, node, &decode->file->user, &decode->file->user_name,
			    err);
}

static int take_file_group(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	return decode_owner(decode, node, &decode->file->group, &decode->file->group_name,
			    err);
}

static int read_source(struct decode *decode, int beside_fd, struct cop_error *err)
{
	auto_buf content = {};
	int r = fs_read_file(beside_fd, decode->source->text, FILE_SIZE_MAX, &content,
			     err);

	if (r < 0)
		return r;
	decode->file->content =
		arena_memdup(decode->recipe->arena, buf_text(&content), content.size);
	if (!decode->file->content)
		return err_oom(err);
	decode->file->size = content.size;
	return 0;
}

static int take_file(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"path", take_file_path},    {"content", take_file_content},
		{"data", take_file_content}, {"source", take_file_source},
		{"mode", take_file_mode},    {"user", take_file_user},
		{"group", take_file_group},  {"secret", take_file_secret},
	};
	struct recipe_file *file = decode->file;
	int r;

	*file = (struct recipe_file){.mode = 0644};
	decode->source = NULL;
	decode->has_content = decode->has_mode = false;
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "files", err);
	if (r < 0)
		return r;
	if (!file->path)
		return decode_wrong(decode, node, err, "file without a path");
	if (decode->has_content + (decode->source != NULL) + (file->secret != NULL) != 1)
		return decode_wrong(decode, node, err,
				    "file '%.128s': give one of content, source and "
				    "secret",
				    file->path);
	if (file->secret && !decode->has_mode)
		file->mode = 0600;
	return 0;
}

/* A new place at the end of the list, or that of the file of an extended recipe that has
 * the same path. */
static int keep_file(struct decode *decode, const struct recipe_file *file,
		     struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	size_t i = 0;

	while (i < recipe->n_files && strcmp(recipe->files[i].path, file->path) != 0)
		i++;
	if (i == decode->room_for_files) {
		size_t room = i ? i * 2 : 8;
		struct recipe_file *files =
			arena_alloc(recipe->arena, room * sizeof(*files));

		if (!files)
			return err_oom(err);
		if (i)
			memcpy(files, recipe->files, i * sizeof(*files));
		recipe->files = files;
		decode->room_for_files = room;
	}
	recipe->files[i] = *file;
	recipe->n_files += i == recipe->n_files;
	return sha256_bytes(file->content, file->size, recipe->files[i].sha256, err);
}

/* Each file below a directory; whoever may run it on disk may do so in the tree. */
static int keep_directory(struct decode *decode, int dir_fd, const char *path,
			  unsigned int depth, struct cop_error *err);

static int keep_below(struct decode *decode, int dir_fd, const char *directory,
		      const char *name, unsigned int depth, struct cop_error *err)
{
	struct recipe_file file = *decode->file;
	auto_buf path = {}, content = {};
	struct stat st;
	int r;

	if (buf_printf(&path, "%s/%s", directory, name) < 0)
		return err_oom(err);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "stat '%s'", path.data);
	if (S_ISDIR(st.st_mode)) {
		auto_close int fd =
			fs_open_plain(dir_fd, name, O_RDONLY | O_DIRECTORY, 0, err);

		return fd < 0 ? fd
			      : keep_directory(decode, fd, path.data, depth + 1, err);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL,
			       "'%s' is neither a regular file nor a directory",
			       path.data);
	r = fs_read_file(dir_fd, name, FILE_SIZE_MAX, &content, err);
	if (r < 0)
		return r;
	file.path = arena_text(decode->recipe->arena, path.data);
	file.content =
		arena_memdup(decode->recipe->arena, buf_text(&content), content.size);
	file.size = content.size;
	if (!decode->has_mode)
		file.mode = st.st_mode & 0100 ? 0755 : 0644;
	if (!file.path || !file.content)
		return err_oom(err);
	return keep_file(decode, &file, err);
}

static int keep_directory(struct decode *decode, int dir_fd, const char *path,
			  unsigned int depth, struct cop_error *err)
{
	char **names = NULL;
	int r = depth > DIRECTORY_DEPTH_MAX
			? err_set(err, -ELOOP, "'%s' is too deep", path)
			: fs_list(dir_fd, &names, NULL, err);

	for (char **name = names; r == 0 && *name; name++)
		r = keep_below(decode, dir_fd, path, *name, depth, err);
	if (names)
		fs_list_free(names);
	return r;
}

/* What `source:` names, file or directory. */
static int keep_source(struct decode *decode, struct cop_error *err)
{
	const struct node *node = decode->source;
	auto_close int beside_fd = decode_open_beside(decode->recipe, err);
	auto_close int dir_fd = -EBADF;
	struct cop_error reason = {};
	int r;

	if (beside_fd < 0)
		return beside_fd;
	dir_fd = fs_open_plain(beside_fd, node->text, O_RDONLY | O_DIRECTORY, 0, NULL);
	if (dir_fd >= 0) {
		r = keep_directory(decode, dir_fd, decode->file->path, 0, &reason);
	} else {
		r = read_source(decode, beside_fd, &reason);
		if (r == 0)
			r = keep_file(decode, decode->file, &reason);
	}
	return r < 0 ? err_set(err, r, "%s:%u:%u: source: %s", decode->recipe->path,
			       node->line, node->column, reason.message)
		     : 0;
}

int decode_files(struct decode *decode, const struct node *node, struct cop_error *err)
{
	auto_ptr(map) seen = map_new();
	struct recipe_file file;
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	if (!seen)
		return err_oom(err);
	decode->file = &file;
	for (const struct node *item = node->first; item; item = item->next) {
		void **slot;

		r = take_file(decode, item, err);
		if (r < 0)
			return r;
		slot = map_slot(seen, file.path, strlen(file.path));
		if (!slot)
			return err_oom(err);
		if (*slot)
			return decode_wrong(decode, item, err,
					    "file '%.128s' is given twice", file.path);
		*slot = seen;
		r = decode->source ? keep_source(decode, err)
				   : keep_file(decode, &file, err);
		if (r < 0)
			return r;
	}
	return 0;
}
