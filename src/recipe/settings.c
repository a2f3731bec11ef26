/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"

#define DEBCONF_MAX ((size_t)(64 * KIB))

void settings_done(struct recipe_settings *settings)
{
	json_decref(settings->accounts);
	json_decref(settings->account_groups);
	json_decref(settings->enabled);
	json_decref(settings->disabled);
	json_decref(settings->masked);
}

int settings_new(struct recipe *recipe, struct cop_error *err)
{
	struct recipe_settings *settings =
		arena_alloc(recipe->arena, sizeof(*recipe->settings));

	if (!settings)
		return err_oom(err);
	recipe->settings = settings;
	settings->enabled = json_array();
	settings->disabled = json_array();
	settings->masked = json_array();
	return settings->enabled && settings->disabled && settings->masked ? 0
									   : err_oom(err);
}

int settings_add_file(struct recipe *recipe, const char *path, const void *text,
		      size_t size, mode_t mode, struct cop_error *err)
{
	struct recipe_settings *settings = recipe->settings;
	struct recipe_file *file;

	if (settings->n_files == settings->room_for_files) {
		size_t room = settings->room_for_files ? settings->room_for_files * 2 : 8;
		struct recipe_file *files =
			arena_alloc(recipe->arena, room * sizeof(*files));

		if (!files)
			return err_oom(err);
		if (settings->n_files)
			memcpy(files, settings->files,
			       settings->n_files * sizeof(*files));
		settings->files = files;
		settings->room_for_files = room;
	}
	file = &settings->files[settings->n_files];
	*file = (struct recipe_file){.mode = mode, .size = size};
	file->path = arena_text(recipe->arena, path);
	file->content = arena_memdup(recipe->arena, text, size);
	if (!file->path || !file->content)
		return err_oom(err);
	settings->n_files++;
	return sha256_bytes(file->content, size, file->sha256, err);
}

int settings_need(struct recipe *recipe, const char *package, struct cop_error *err)
{
	struct recipe_settings *settings = recipe->settings;

	for (size_t i = 0; i < settings->n_packages; i++)
		if (strcmp(settings->packages[i], package) == 0)
			return 0;
	if (settings->n_packages + 1 == ARRAY_SIZE(settings->packages))
		return err_set(err, -E2BIG, "too many packages for settings");
	settings->packages[settings->n_packages++] = package;
	return 0;
}

/* --- time zone --- */

static int take_zone(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_settings *settings = decode->recipe->settings;
	int r = decode_text(decode, node, &settings->timezone, err);

	if (r < 0)
		return r;
	if (!check_relative_path(settings->timezone) ||
	    strspn(settings->timezone,
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		   "0123456789_+-/") != strlen(settings->timezone))
		return decode_wrong(decode, node, err,
				    "timezone: '%.64s' is not one such as Europe/Berlin",
				    settings->timezone);
	return settings_need(decode->recipe, "tzdata", err);
}

static int take_ntp_servers(struct decode *decode, const struct node *node,
			    struct cop_error *err)
{
	struct recipe *recipe = decode->recipe;
	const char **servers = NULL;
	auto_buf text = {};
	int r = decode_texts(decode, node, false, &servers, err);

	(void)buf_append_text(&text, "[Time]\nNTP=");
	for (size_t i = 0; r == 0 && servers[i]; i++) {
		if (strpbrk(servers[i], " \t\n"))
			return decode_wrong(decode, node, err,
					    "ntpservers: '%.64s' is not a host's name",
					    servers[i]);
		(void)buf_printf(&text, "%s%s", i ? " " : "", servers[i]);
	}
	(void)buf_append_char(&text, '\n');
	if (r == 0)
		r = text.failed
			    ? err_oom(err)
			    : settings_add_file(recipe,
						"/etc/systemd/timesyncd.conf.d/ntp.conf",
						text.data, text.size, 0644, err);
	return r == 0 ? settings_need(recipe, "systemd-timesyncd", err) : r;
}

int decode_timezone(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"timezone", take_zone},
		{"ntpservers", take_ntp_servers},
	};

	if (node->kind == NODE_TEXT)
		return take_zone(decode, node, err);
	return decode_map(decode, node, fields, ARRAY_SIZE(fields), "timezone", err);
}

/* --- language and keyboard --- */

static bool is_built_in(const char *language)
{
	return strcmp(language, "C") == 0 || strcmp(language, "POSIX") == 0 ||
	       strcmp(language, "C.UTF-8") == 0;
}

static bool is_plain(const char *text, const char *more)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		      (*text >= '0' && *text <= '9') || strchr(more, *text)))
			return false;
	return true;
}

static int take_languages(struct decode *decode, const struct node *node,
			  struct cop_error *err)
{
	struct recipe_settings *settings = decode->recipe->settings;
	const struct node *item = node->kind == NODE_LIST ? node->first : node;
	int r = decode_texts(decode, node, true, &settings->languages, err);

	if (r == 0 && !*settings->languages)
		return decode_wrong(decode, node, err, "languages: the list is empty");
	for (size_t i = 0; r == 0 && settings->languages[i]; i++, item = item->next) {
		if (!is_plain(settings->languages[i], "_.@-"))
			return decode_wrong(decode, item, err,
					    "languages: '%.64s' is not one such as "
					    "de_DE.UTF-8",
					    settings->languages[i]);
		if (!is_built_in(settings->languages[i]))
			r = settings_need(decode->recipe, "locales", err);
	}
	return r;
}

/* "de" or "de(nodeadkeys)", as X writes it. */
static int take_keyboard(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct recipe_settings *settings = decode->recipe->settings;
	const char *text = NULL;
	char *layout, *variant;
	size_t size;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	layout = arena_text(decode->recipe->arena, text);
	if (!layout)
		return err_oom(err);
	variant = strchr(layout, '(');
	size = variant ? strlen(variant) : 0;
	if (variant && variant[size - 1] == ')') {
		variant[size - 1] = '\0';
		*variant++ = '\0';
	} else {
		variant = NULL;
	}
	if (!is_plain(layout, "_,-") || (variant && !is_plain(variant, "_,-")))
		return decode_wrong(decode, node, err,
				    "keyboard: '%.64s' is not a layout such as de or "
				    "de(nodeadkeys)",
				    text);
	settings->keyboard = layout;
	settings->variant = variant ? variant : "";
	r = settings_need(decode->recipe, "keyboard-configuration", err);
	return r == 0 ? settings_need(decode->recipe, "console-setup", err) : r;
}

int decode_locale(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"languages", take_languages},
		{"keyboard", take_keyboard},
	};

	return decode_map(decode, node, fields, ARRAY_SIZE(fields), "locale", err);
}

/* --- answers to debconf --- */

int decode_debconf(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct recipe_settings *settings = decode->recipe->settings;
	const char **lines = NULL;
	const struct node *item;
	auto_buf text = {};
	int r = decode_texts(decode, node, false, &lines, err);

	if (r < 0)
		return r;
	item = node->first;
	for (size_t i = 0; lines[i]; i++, item = item->next) {
		const char *at = lines[i];
		int words = 0;

		while (words < 3 && *at) {
			at += strspn(at, " \t");
			words += *at != '\0';
			at += strcspn(at, " \t");
		}
		if (words < 3 || strchr(lines[i], '\n') || *lines[i] == '#')
			return decode_wrong(
				decode, item, err,
				"debconf: '%.80s' is not PACKAGE QUESTION TYPE "
				"VALUE",
				lines[i]);
		(void)buf_printf(&text, "%s\n", lines[i]);
	}
	if (text.size > DEBCONF_MAX)
		return decode_wrong(decode, node, err, "debconf: longer than %zu bytes",
				    DEBCONF_MAX);
	settings->debconf = arena_text(decode->recipe->arena, buf_text(&text));
	return settings->debconf && !text.failed ? 0 : err_oom(err);
}

/* --- packages --- */

static bool is_asked_for(const struct recipe *recipe, const char *package)
{
	for (size_t i = 0; i < recipe->n_groups; i++)
		for (size_t j = 0; j < recipe->groups[i].n_packages; j++)
			if (strcmp(recipe->groups[i].packages[j].name, package) == 0)
				return true;
	return false;
}

int settings_finish(struct recipe *recipe, struct cop_error *err)
{
	const struct recipe_settings *settings = recipe->settings;
	struct recipe_group *groups, *group;

	if (settings->n_packages == 0)
		return 0;
	for (size_t i = 0; i < recipe->n_groups; i++)
		if (strcmp(recipe->groups[i].name, SETTINGS_LAYER) == 0)
			return err_set(err, -EINVAL,
				       "%s: '" SETTINGS_LAYER
				       "' cannot be a group's name: "
				       "there is a layer of that name already",
				       recipe->path);
	groups = arena_alloc(recipe->arena, (recipe->n_groups + 2) * sizeof(*groups));
	if (!groups)
		return err_oom(err);
	group = &groups[0];
	group->name = SETTINGS_LAYER;
	group->packages = arena_alloc(recipe->arena, (settings->n_packages + 1) *
							     sizeof(*group->packages));
	if (!group->packages)
		return err_oom(err);
	for (size_t i = 0; i < settings->n_packages; i++)
		if (!is_asked_for(recipe, settings->packages[i]))
			group->packages[group->n_packages++].name = settings->packages[i];
	if (group->n_packages == 0)
		return 0;
	if (recipe->n_groups)
		memcpy(groups + 1, recipe->groups, recipe->n_groups * sizeof(*groups));
	recipe->groups = groups;
	recipe->n_groups++;
	return 0;
}

/* --- stages --- */

int settings_add_debconf(json_t *stages, const struct recipe *recipe,
			 struct cop_error *err)
{
	const char *lines = recipe->settings->debconf;

	return lines ? stages_add(stages, "org.coppice.debconf", NULL,
				  json_pack("{s:s}", "selections", lines), err)
		     : 0;
}

static int add_languages(json_t *stages, const struct recipe_settings *settings,
			 struct cop_error *err)
{
	json_t *list = json_array();

	for (const char **at = settings->languages; list && *at; at++)
		(void)json_array_append_new(list, json_string(*at));
	return stages_add(stages, "org.coppice.locale", NULL,
			  json_pack("{s:o}", "languages", list), err);
}

static int add_groups_stage(json_t *stages, const struct recipe_settings *settings,
			    struct cop_error *err)
{
	return stages_add(stages, "org.osbuild.groups", NULL,
			  json_pack("{s:O}", "groups", settings->account_groups), err);
}

static int add_users_stage(json_t *stages, const struct recipe_settings *settings,
			   struct cop_error *err)
{
	auto_json *accounts = json_deep_copy(settings->accounts);
	const char *name;
	json_t *account;

	json_object_foreach (accounts, name, account)
		(void)json_object_del(account, ACCOUNT_SECRET);
	if (!accounts)
		return err_oom(err);
	return stages_add(stages, "org.osbuild.users", NULL,
			  json_pack("{s:O}", "users", accounts), err);
}

static int add_directories(json_t *stages, const struct recipe_settings *settings,
			   struct cop_error *err)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < settings->n_directories; i++) {
		const struct recipe_directory *dir = &settings->directories[i];
		json_t *json = json_pack("{s:s, s:i}", "path", dir->path, "mode",
					 (int)dir->mode);

		stages_add_owner(json, dir->user, dir->user_name, dir->group,
				 dir->group_name);
		(void)json_array_append_new(list, json);
	}
	return stages_add(stages, "org.coppice.directories", NULL,
			  json_pack("{s:o}", "directories", list), err);
}

int settings_add_system(json_t *stages, const struct recipe *recipe,
			const struct lock *lock, struct cop_error *err)
{
	const struct recipe_settings *settings = recipe->settings;
	const struct recipe_file *unit = settings_ssh_unit(lock);
	int r = 0;

	if (settings->languages)
		r = add_languages(stages, settings, err);
	if (r == 0 && settings->keyboard)
		r = stages_add(stages, "org.coppice.keyboard", NULL,
			       json_pack("{s:s, s:s}", "layout", settings->keyboard,
					 "variant", settings->variant),
			       err);
	if (r == 0 && settings->timezone)
		r = stages_add(stages, "org.coppice.timezone", NULL,
			       json_pack("{s:s}", "zone", settings->timezone), err);
	if (r == 0 && settings->account_groups)
		r = add_groups_stage(stages, settings, err);
	if (r == 0 && settings->accounts)
		r = add_users_stage(stages, settings, err);
	if (r == 0 && settings->n_directories)
		r = add_directories(stages, settings, err);
	if (r == 0)
		r = stages_add_files(stages, settings->files, settings->n_files, err);
	return r == 0 && unit ? stages_add_files(stages, unit, 1, err) : r;
}

static int add_units(json_t *options, const char *key, json_t *units)
{
	if (json_array_size(units) == 0)
		return 0;
	return json_object_set(options, key, units);
}

int settings_add_services(json_t *stages, const struct recipe *recipe,
			  const struct lock *lock, struct cop_error *err)
{
	const struct recipe_settings *settings = recipe->settings;
	auto_json *enabled = json_copy(settings->enabled), *options = json_object();
	const struct recipe_file *unit = settings_ssh_unit(lock);
	int r = 0;

	if (!enabled || !options)
		return err_oom(err);
	if (unit)
		r = json_array_append_new(enabled,
					  json_string(strrchr(unit->path, '/') + 1));
	if (r < 0 || add_units(options, "enabled_services", enabled) < 0 ||
	    add_units(options, "disabled_services", settings->disabled) < 0 ||
	    add_units(options, "masked_services", settings->masked) < 0 ||
	    (settings->default_target &&
	     json_object_set_new(options, "default_target",
				 json_string(settings->default_target)) < 0))
		return err_oom(err);
	if (json_object_size(options) == 0)
		return 0;
	return stages_add(stages, "org.osbuild.systemd", NULL, json_incref(options), err);
}
