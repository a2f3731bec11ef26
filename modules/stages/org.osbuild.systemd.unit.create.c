/* SPDX-License-Identifier: Apache-2.0 */
/* Unit files. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static const char *const endings[][2] = {{".service", "Service"},
					 {".mount", "Mount"},
					 {".socket", "Socket"},
					 {".swap", "Swap"}};

static int check_name(struct kit *kit, const char *filename, const json_t *config)
{
	if (strlen(filename) > NAME_MAX || strchr(filename, '/'))
		return err_set(kit->err, -EINVAL, "'%s' is not the name of a unit file",
			       filename);
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (text_ends_with(filename, endings[i][0]) &&
		    !json_object_get(config, endings[i][1]))
			return err_set(kit->err, -EINVAL,
				       "unit '%s' needs the section '%s'", filename,
				       endings[i][1]);
	return 0;
}

/* As Python prints it; a continuation line after a newline. */
static int add_value(const json_t *value, struct buf *text, struct cop_error *err)
{
	const char *plain = json_string_value(value);

	if (json_is_boolean(value))
		return buf_append_text(text, json_is_true(value) ? "True" : "False");
	if (!plain)
		return json_canonical(value, text, err);
	if (strlen(plain) != json_string_length(value))
		return err_set(err, -EINVAL, "config: a value holds a NUL");
	for (; *plain; plain++)
		(void)buf_append_text(text,
				      *plain == '\n' ? "\n\t" : (char[]){*plain, '\0'});
	return 0;
}

static int add_element(const char *key, const json_t *value, struct buf *line,
		       struct cop_error *err)
{
	const char *name = NULL, *text = NULL;
	const struct option options[] = {NEEDED_TEXT("key", name),
					 NEEDED_TEXT("value", text)};
	int r;

	(void)buf_printf(line, "%s=", key);
	if (strcmp(key, "Environment") != 0)
		return add_value(value, line, err);
	r = options_read(value, "Environment", options, ARRAY_SIZE(options), err);
	return r == 0 ? buf_printf(line, "\"%s=%s\"", name, text) : r;
}

static bool has_line(const struct buf *text, size_t from, const struct buf *line)
{
	const char *at = buf_text(text) + (text->size ? from : 0);

	while ((at = strstr(at, buf_text(line)))) {
		if (at == text->data + from || at[-1] == '\n')
			return true;
		at++;
	}
	return false;
}

static int add_key(const char *key, const json_t *value, size_t section, struct buf *text,
		   struct cop_error *err)
{
	int r = 0;

	if (!json_is_array(value)) {
		(void)buf_printf(text, "%s=", key);
		r = add_value(value, text, err);
		return r == 0 ? buf_append_char(text, '\n') : r;
	}
	for (size_t i = 0; r == 0 && i < json_array_size(value); i++) {
		auto_buf line = {};

		r = add_element(key, json_array_get(value, i), &line, err);
		if (r == 0)
			r = buf_append_char(&line, '\n');
		/* The same line twice is written once. */
		if (r == 0 && !has_line(text, section, &line))
			r = buf_append(text, line.data, line.size);
	}
	return r;
}

static int add_sections(json_t *config, struct buf *text, struct cop_error *err)
{
	const char *name, *key;
	json_t *section, *value;
	int r = 0;

	json_object_foreach (config, name, section) {
		size_t start;

		if (!json_is_object(section))
			return err_set(err, -EINVAL, "config: '%s' must be an object",
				       name);
		(void)buf_printf(text, "[%s]\n", name);
		start = text->size;
		json_object_foreach (section, key, value) {
			r = add_key(key, value, start, text, err);
			if (r < 0)
				return r;
		}
		r = buf_append_char(text, '\n');
	}
	return r;
}

int stage_systemd_unit_create(struct kit *kit)
{
	const char *filename = NULL, *type = "system", *where = "usr";
	json_t *config = NULL;
	const struct option options[] = {
		NEEDED_TEXT("filename", filename), NEEDED_OBJECT("config", config),
		OPTION_TEXT("unit-type", type), OPTION_TEXT("unit-path", where)};
	char directory[64], path[NAME_MAX + 64];
	auto_buf text = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = check_name(kit, filename, config);
	if (r == 0)
		r = add_sections(config, &text, kit->err);
	if (r == 0 && text.failed)
		r = err_oom(kit->err);
	if (r < 0)
		return r;
	(void)snprintf(directory, sizeof(directory), "%s/systemd/%s",
		       strcmp(where, "etc") == 0 ? "etc" : "usr/lib",
		       strcmp(type, "global") == 0 ? "user" : "system");
	(void)snprintf(path, sizeof(path), "%s/%s", directory, filename);
	r = root_make_dirs(kit->tree_fd, directory, 0755, kit->err);
	return r == 0 ? root_write(kit->tree_fd, path, buf_text(&text), text.size, 0644,
				   kit->err)
		      : r;
}
