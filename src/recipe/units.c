/* SPDX-License-Identifier: Apache-2.0 */
/* Services, units and directories. */
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"
#include "recipe/settings.h"

#define UNIT_DIR "/etc/systemd/system/"

static const char *const suffixes[] = {"service", "socket", "timer",	 "path",
				       "mount",	  "swap",   "automount", "target",
				       "slice",	  "device", "scope"};

static bool is_unit(const char *text, bool with_suffix)
{
	const char *dot = strrchr(text, '.');

	if (!*text || strlen(text) > 200 || *text == '-' || *text == '.')
		return false;
	for (const char *at = text; *at; at++)
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
		      (*at >= '0' && *at <= '9') || strchr("-_.@:\\", *at)))
			return false;
	for (size_t i = 0; with_suffix && dot && i < ARRAY_SIZE(suffixes); i++)
		if (strcmp(dot + 1, suffixes[i]) == 0)
			return true;
	return !with_suffix;
}

static int take_units(struct decode *decode, const struct node *node, json_t *units,
		      struct cop_error *err)
{
	const struct node *item = node->first;
	const char **names = NULL;
	int r = decode_texts(decode, node, false, &names, err);

	for (size_t i = 0; r == 0 && names[i]; i++, item = item->next) {
		if (!is_unit(names[i], false))
			return decode_wrong(decode, item, err,
					    "%s: '%.64s' is not a unit's name", node->key,
					    names[i]);
		if (json_array_append_new(units, json_string(names[i])) < 0)
			r = err_oom(err);
	}
	return r;
}

static int take_enabled(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	return take_units(decode, node, decode->recipe->settings->enabled, err);
}

static int take_disabled(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	return take_units(decode, node, decode->recipe->settings->disabled, err);
}

static int take_masked(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	return take_units(decode, node, decode->recipe->settings->masked, err);
}

static int take_target(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	struct recipe_settings *settings = decode->recipe->settings;
	int r = decode_text(decode, node, &settings->default_target, err);

	if (r == 0 && (!is_unit(settings->default_target, true) ||
		       !text_ends_with(settings->default_target, ".target")))
		return decode_wrong(decode, node, err,
				    "default_target: '%.64s' is not one such as "
				    "multi-user.target",
				    settings->default_target);
	return r;
}

int decode_services(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"enabled", take_enabled},
		{"disabled", take_disabled},
		{"masked", take_masked},
		{"default_target", take_target},
	};

	return decode_map(decode, node, fields, ARRAY_SIZE(fields), "services", err);
}

/* --- units --- */

/* A unit or one of its drop-ins. */
struct unit {
	const char *name;
	const char *content;
	const struct node *dropins;
	bool enabled;
};

static int take_name(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct unit *unit = decode->item;

	return decode_text(decode, node, &unit->name, err);
}

static int take_content(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	struct unit *unit = decode->item;

	return decode_text(decode, node, &unit->content, err);
}

static int take_dropins(struct decode *decode, const struct node *node,
			struct cop_error *err)
{
	struct unit *unit = decode->item;
	int r = decode_list(decode, node, err);

	unit->dropins = node;
	return r;
}

static int take_flag(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct unit *unit = decode->item;

	return decode_flag(decode, node, &unit->enabled, err);
}

static int add_text(struct recipe *recipe, const char *directory, const char *unit,
		    const char *between, const char *name, const char *content,
		    struct cop_error *err)
{
	auto_buf path = {}, text = {};

	(void)buf_printf(&path, "%s%s%s%s", directory, unit, between, name);
	(void)buf_printf(&text, "%s%s", content,
			 text_ends_with(content, "\n") ? "" : "\n");
	if (path.failed || text.failed)
		return err_oom(err);
	return settings_add_file(recipe, path.data, text.data, text.size, 0644, err);
}

static int take_dropin(struct decode *decode, const struct node *node, const char *name,
		       struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"name", take_name},
		{"content", take_content},
	};
	struct unit dropin = {};
	int r;

	decode->item = &dropin;
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "dropins", err);
	if (r < 0)
		return r;
	if (!dropin.name || !dropin.content)
		return decode_wrong(decode, node, err,
				    "a drop-in has a name and a content");
	if (!is_unit(dropin.name, false) || !text_ends_with(dropin.name, ".conf"))
		return decode_wrong(decode, node, err,
				    "name: '%.64s' is not one such as 10-memory.conf",
				    dropin.name);
	return add_text(decode->recipe, UNIT_DIR, name, ".d/", dropin.name,
			dropin.content, err);
}

static int take_unit(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"name", take_name},
		{"content", take_content},
		{"dropins", take_dropins},
		{"enabled", take_flag},
	};
	struct recipe *recipe = decode->recipe;
	struct unit unit = {};
	int r;

	decode->item = &unit;
	r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "units", err);
	if (r < 0)
		return r;
	if (!unit.name || !is_unit(unit.name, true))
		return decode_wrong(decode, node, err,
				    "units: '%.64s' is not a name such as job.service",
				    unit.name ? unit.name : "");
	if (!unit.content && !unit.dropins)
		return decode_wrong(decode, node, err,
				    "unit '%s': give it a content, or drop-ins",
				    unit.name);
	if (unit.content)
		r = add_text(recipe, UNIT_DIR, unit.name, "", "", unit.content, err);
	for (const struct node *item = unit.dropins ? unit.dropins->first : NULL;
	     r == 0 && item; item = item->next)
		r = take_dropin(decode, item, unit.name, err);
	if (r == 0 && unit.enabled &&
	    json_array_append_new(recipe->settings->enabled, json_string(unit.name)) < 0)
		r = err_oom(err);
	return r;
}

int decode_units(struct decode *decode, const struct node *node, struct cop_error *err)
{
	int r = decode_list(decode, node, err);

	for (const struct node *item = node->first; r == 0 && item; item = item->next)
		r = take_unit(decode, item, err);
	return r;
}

/* Debian 13 has a unit for this, which an empty machine id keeps from running. */
const struct recipe_file *settings_ssh_unit(const struct lock *lock)
{
	static const char text[] = "[Unit]\n"
				   "Description=Host keys of the SSH server\n"
				   "Before=ssh.service ssh.socket\n"
				   "After=sshd-keygen.service\n"
				   "ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key\n"
				   "\n"
				   "[Service]\n"
				   "Type=oneshot\n"
				   "ExecStart=/usr/bin/ssh-keygen -A\n"
				   "\n"
				   "[Install]\n"
				   "WantedBy=ssh.service ssh.socket multi-user.target\n";
	static struct recipe_file file = {
		.path = UNIT_DIR "ssh-host-keys.service",
		.content = text,
		.size = sizeof(text) - 1,
		.mode = 0644,
	};
	const struct lock_package *ssh = lock_find(lock, "openssh-server");
	const struct lock_package *systemd = lock_find(lock, "systemd");

	if (!ssh || !systemd || lock_is_tool(ssh) || lock_is_tool(systemd))
		return NULL;
	if (!*file.sha256 && sha256_bytes(text, file.size, file.sha256, NULL) < 0)
		return NULL;
	return &file;
}

/* --- directories --- */

static int take_path(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_directory *dir = decode->item;
	int r = decode_text(decode, node, &dir->path, err);

	if (r == 0 && !check_absolute_path(dir->path))
		return decode_wrong(
			decode, node, err,
			"path: '%.128s' is not an absolute path without '.' and '..'",
			dir->path);
	return r;
}

static int take_mode(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_directory *dir = decode->item;

	return decode_mode(decode, node, &dir->mode, err);
}

static int take_user(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct recipe_directory *dir = decode->item;

	return decode_owner(decode, node, &dir->user, &dir->user_name, err);
}

static int take_group(struct decode *decode, const struct node *node,
		      struct cop_error *err)
{
	struct recipe_directory *dir = decode->item;

	return decode_owner(decode, node, &dir->group, &dir->group_name, err);
}

int decode_directories(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"path", take_path},
		{"mode", take_mode},
		{"user", take_user},
		{"group", take_group},
	};
	struct recipe_settings *settings = decode->recipe->settings;
	size_t n = decode_count(node), old = settings->n_directories;
	struct recipe_directory *all;
	int r = decode_list(decode, node, err);

	if (r < 0)
		return r;
	all = arena_alloc(decode->recipe->arena, (old + n + 1) * sizeof(*all));
	if (!all)
		return err_oom(err);
	if (old)
		memcpy(all, settings->directories, old * sizeof(*all));
	settings->directories = all;
	for (const struct node *item = node->first; r == 0 && item; item = item->next) {
		struct recipe_directory *dir = &all[settings->n_directories];

		dir->mode = 0755;
		decode->item = dir;
		r = decode_map(decode, item, fields, ARRAY_SIZE(fields), "directories",
			       err);
		if (r == 0 && !dir->path)
			r = decode_wrong(decode, item, err, "directory without a path");
		settings->n_directories++;
	}
	return r;
}
