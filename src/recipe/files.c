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

#define FILE_SIZE_MAX (16 * MIB)

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

static int take_file_mode(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	const char *text = NULL;
	unsigned int mode = 0;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (check_mode(text, &mode) < 0)
		return decode_wrong(decode, node, err,
				    "mode: '%.32s' is not an octal mode such as 0644",
				    text);
	decode->file->mode = mode;
	return 0;
}

static int take_number(const struct decode *decode, const struct node *node,
		       uint32_t *ret_number, struct cop_error *err)
{
	const char *text = NULL;
	uint64_t number = 0;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	/* The last one is the kernel's word for "no user". */
	if (text_to_u64(text, &number) < 0 || number >= UINT32_MAX)
		return decode_wrong(decode, node, err, "%s: '%.32s' is not a number",
				    node->key, text);
	*ret_number = (uint32_t)number;
	return 0;
}

static int take_file_user(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	return take_number(decode, node, &decode->file->user, err);
}

static int take_file_group(struct decode *decode, const struct node *node,
			   struct cop_error *err)
{
	return take_number(decode, node, &decode->file->group, err);
}

/* The directory of the recipe, opened. */
static int open_beside(const struct recipe *recipe, struct cop_error *err)
{
	auto_free char *directory = strdup(recipe->path);
	char *slash;
	int fd;

	if (!directory)
		return err_oom(err);
	slash = strrchr(directory, '/');
	if (slash)
		slash[slash == directory] = '\0';
	fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "open the directory of '%s'", recipe->path) : fd;
}

static int read_source(struct decode *decode, struct cop_error *err)
{
	const struct node *node = decode->source;
	auto_close int directory_fd = open_beside(decode->recipe, err);
	struct cop_error reason = {};
	auto_buf content = {};
	int r;

	if (directory_fd < 0)
		return directory_fd;
	r = fs_read_file(directory_fd, node->text, FILE_SIZE_MAX, &content, &reason);
	if (r < 0)
		return err_set(err, r, "%s:%u:%u: source: %s", decode->recipe->path,
			       node->line, node->column, reason.message);
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
		{"path", take_file_path},     {"content", take_file_content},
		{"source", take_file_source}, {"mode", take_file_mode},
		{"user", take_file_user},     {"group", take_file_group},
	};
	struct recipe_file *file = decode->file;
	int r;

	*file = (struct recipe_file){.mode = 0644};
	decode->source = NULL;
	decode->has_content = false;
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "files", err);
	if (r < 0)
		return r;
	if (!file->path)
		return decode_wrong(decode, node, err, "file without a path");
	if (decode->has_content == (decode->source != NULL))
		return decode_wrong(decode, node, err,
				    "file '%.128s': give one of content and source",
				    file->path);
	r = decode->source ? read_source(decode, err) : 0;
	if (r < 0)
		return r;
	return sha256_bytes(file->content, file->size, file->sha256, err);
}

int decode_files(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	auto_ptr(map) seen = map_new();
	size_t n = decode_count(node);
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	recipe->files = arena_alloc(recipe->arena, (n + 1) * sizeof(*recipe->files));
	if (!recipe->files || !seen)
		return err_oom(err);
	for (const struct node *item = node->first; item; item = item->next) {
		void **slot;

		decode->file = &recipe->files[recipe->n_files];
		r = take_file(decode, item, err);
		if (r < 0)
			return r;
		slot = map_slot(seen, decode->file->path, strlen(decode->file->path));
		if (!slot)
			return err_oom(err);
		if (*slot)
			return decode_wrong(decode, item, err,
					    "file '%.128s' is given twice",
					    decode->file->path);
		*slot = decode->file;
		recipe->n_files++;
	}
	return 0;
}
