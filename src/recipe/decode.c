/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/decode.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"

int decode_wrong(const struct decode *decode, const struct node *node,
		 struct cop_error *err, const char *format, ...)
{
	char reason[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	return err_set(err, -EINVAL, "%s:%u:%u: %s", decode->recipe->path, node->line,
		       node->column, reason);
}

static const char *name_of(const struct node *node)
{
	return node->key ? node->key : "item";
}

static int check_text(const struct decode *decode, const struct node *node,
		      struct cop_error *err)
{
	if (node->kind != NODE_TEXT)
		return decode_wrong(decode, node, err, "%s: a text is wanted, not a %s",
				    name_of(node),
				    node->kind == NODE_LIST ? "list" : "mapping");
	if (node->size == 0)
		return decode_wrong(decode, node, err, "%s: nothing is given",
				    name_of(node));
	return 0;
}

int decode_text(const struct decode *decode, const struct node *node,
		const char **ret_text, struct cop_error *err)
{
	const char *text;
	int r = check_text(decode, node, err);

	if (r < 0)
		return r;
	text = arena_memdup(decode->recipe->arena, node->text, node->size);
	if (!text)
		return err_oom(err);
	*ret_text = text;
	return 0;
}

int decode_open_beside(const struct recipe *recipe, struct cop_error *err)
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

size_t decode_count(const struct node *node)
{
	size_t n = 0;

	for (const struct node *item = node->first; item; item = item->next)
		n++;
	return n;
}

int decode_list(const struct decode *decode, const struct node *node,
		struct cop_error *err)
{
	if (node->kind != NODE_LIST)
		return decode_wrong(decode, node, err, "%s: a list is wanted, not a %s",
				    name_of(node),
				    node->kind == NODE_TEXT ? "single value" : "mapping");
	return 0;
}

int decode_texts(const struct decode *decode, const struct node *node, bool or_one,
		 const char ***ret_texts, struct cop_error *err)
{
	const struct node *item = node->first;
	const char **texts;
	size_t n = 1;
	int r;

	if (or_one && node->kind == NODE_TEXT) {
		item = node;
	} else {
		r = decode_list(decode, node, err);
		if (r < 0)
			return r;
		n = decode_count(node);
	}
	texts = arena_alloc(decode->recipe->arena, (n + 1) * sizeof(*texts));
	if (!texts)
		return err_oom(err);
	for (size_t i = 0; i < n; i++, item = item->next) {
		r = decode_text(decode, item, &texts[i], err);
		if (r < 0)
			return r;
	}
	*ret_texts = texts;
	return 0;
}

int decode_flag(const struct decode *decode, const struct node *node, bool *ret_flag,
		struct cop_error *err)
{
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
		*ret_flag = true;
	else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
		*ret_flag = false;
	else
		return decode_wrong(decode, node, err,
				    "%s: '%.32s' is neither true nor false",
				    name_of(node), text);
	return 0;
}

int decode_mode(const struct decode *decode, const struct node *node, mode_t *ret_mode,
		struct cop_error *err)
{
	const char *text = NULL;
	unsigned int mode = 0;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (check_mode(text, &mode) < 0)
		return decode_wrong(decode, node, err,
				    "%s: '%.32s' is not an octal mode such as 0644",
				    name_of(node), text);
	*ret_mode = mode;
	return 0;
}

int decode_owner(const struct decode *decode, const struct node *node,
		 uint32_t *ret_number, const char **ret_name, struct cop_error *err)
{
	const char *text = NULL;
	uint64_t number = 0;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	*ret_name = NULL;
	if (check_account(text)) {
		*ret_name = text;
		return 0;
	}
	/* The last one is the kernel's word for "no user". */
	if (text_to_u64(text, &number) < 0 || number >= UINT32_MAX)
		return decode_wrong(decode, node, err,
				    "%s: '%.32s' is neither a number nor a name",
				    name_of(node), text);
	*ret_number = (uint32_t)number;
	return 0;
}

int decode_uris(const struct decode *decode, const struct node *node,
		const char ***ret_uris, struct cop_error *err)
{
	const struct node *item = node->kind == NODE_LIST ? node->first : node;
	const char **uris;
	int r = decode_texts(decode, node, true, &uris, err);

	if (r < 0)
		return r;
	if (!*uris)
		return decode_wrong(decode, node, err, "%s: the list is empty",
				    node->key);
	for (size_t i = 0; uris[i]; i++, item = item->next) {
		const char *problem = check_uri(uris[i]);

		if (problem)
			return decode_wrong(decode, item, err, "%s: '%.128s' %s",
					    node->key, uris[i], problem);
	}
	*ret_uris = uris;
	return 0;
}

int decode_template(const struct decode *decode, const struct node *node,
		    const char **ret_template, struct cop_error *err)
{
	const char *problem;
	int r = decode_text(decode, node, ret_template, err);

	if (r < 0)
		return r;
	problem = check_uri(*ret_template);
	if (!problem && !strstr(*ret_template, "@SNAPSHOTID@"))
		problem = "has no @SNAPSHOTID@ in it, where the date goes";
	if (problem)
		return decode_wrong(decode, node, err, "%s: '%.128s' %s", node->key,
				    node->text, problem);
	return 0;
}

int decode_map(struct decode *decode, const struct node *map,
	       const struct decode_field *fields, size_t n_fields, const char *what,
	       struct cop_error *err)
{
	const char *names[DECODE_FIELDS_MAX + 1] = {};

	if (map->kind != NODE_MAP)
		return decode_wrong(decode, map, err, "%s: a mapping of keys is wanted",
				    what);
	for (const struct node *node = map->first; node; node = node->next) {
		const char *nearest;
		size_t i = 0;
		int r;

		while (i < n_fields && strcmp(fields[i].key, node->key) != 0)
			i++;
		if (i < n_fields) {
			r = fields[i].take(decode, node, err);
			if (r < 0)
				return r;
			continue;
		}
		for (i = 0; i < n_fields && i < DECODE_FIELDS_MAX; i++)
			names[i] = fields[i].key;
		nearest = check_nearest(node->key, names);
		return err_set(err, -EINVAL, "%s:%u:%u: unknown key '%.64s'%s%s%s",
			       decode->recipe->path, node->key_line, node->key_column,
			       node->key, nearest ? "; did you mean '" : "",
			       nearest ? nearest : "", nearest ? "'?" : "");
	}
	return 0;
}

int decode_secret(const struct decode *decode, const struct node *node,
		  const char **ret_name, struct cop_error *err)
{
	int r = decode_text(decode, node, ret_name, err);

	if (r == 0 && !check_word(*ret_name))
		return decode_wrong(decode, node, err,
				    "secret: '%.64s' is not a name (lower-case letters, "
				    "digits and -._); the value is given to the build",
				    node->text);
	return r;
}
