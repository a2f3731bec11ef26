/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the system is set up: time zone, language, accounts, services and units.  The words
 * of a recipe turn into options of stages, files, and the packages that both need.
 */
#pragma once

#include "recipe/decode.h"
#include "recipe/stages.h"

/* The layer of packages that settings need. */
#define SETTINGS_LAYER "settings"

/* struct recipe_directory - @user_name, @group_name: instead of the numbers, or NULL */
struct recipe_directory {
	const char *path;
	mode_t mode;
	uint32_t user, group;
	const char *user_name, *group_name;
};

/*
 * struct recipe_settings - on the arena of its recipe, but for the JSON
 * @timezone:  or NULL
 * @languages: NULL-terminated, the first is the system's; or NULL
 * @keyboard:  layout, @variant: of it; or NULL
 * @debconf:   lines for debconf-set-selections, or NULL
 * @accounts, @account_groups: options of org.osbuild.users and org.osbuild.groups, or
 * NULL
 * @enabled, @disabled, @masked: arrays of units
 * @files:     what settings are made of: units, sudo's rules, ...
 * @packages:  names that these need, NULL-terminated
 */
struct recipe_settings {
	const char *timezone;
	const char **ntp_servers;
	const char **languages;
	const char *keyboard, *variant;
	const char *debconf;
	const char *default_target;
	json_t *accounts, *account_groups;
	json_t *enabled, *disabled, *masked;
	struct recipe_directory *directories;
	size_t n_directories;
	struct recipe_file *files;
	size_t n_files, room_for_files;
	const char *packages[16];
	size_t n_packages;
};

/* In @accounts: the name of the secret that is the user's password, for no stage of
 * osbuild. */
#define ACCOUNT_SECRET "secret"

/* settings_new() - empty; the recipe's from then on */
int settings_new(struct recipe *recipe, struct cop_error *err);
void settings_done(struct recipe_settings *settings);

/* settings_add_file() - @text is copied */
int settings_add_file(struct recipe *recipe, const char *path, const void *text,
		      size_t size, mode_t mode, struct cop_error *err);

/* settings_need() - a package, once */
int settings_need(struct recipe *recipe, const char *package, struct cop_error *err);

/* settings_finish() - once all keys were read: the group of packages in front of others
 */
int settings_finish(struct recipe *recipe, struct cop_error *err);

/* The keys of these names. */
int decode_timezone(struct decode *decode, const struct node *node,
		    struct cop_error *err);
int decode_locale(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_debconf(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_users(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_groups(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_services(struct decode *decode, const struct node *node,
		    struct cop_error *err);
int decode_units(struct decode *decode, const struct node *node, struct cop_error *err);
int decode_directories(struct decode *decode, const struct node *node,
		       struct cop_error *err);

/*
 * Parts of a manifest; new stages are appended to @stages.
 *
 * settings_add_debconf() - before the first layer above the base is configured
 * settings_add_system() - language, keyboard, time zone, accounts, directories, files
 * settings_add_services() - once all units are there
 */
int settings_add_debconf(json_t *stages, const struct recipe *recipe,
			 struct cop_error *err);
int settings_add_system(json_t *stages, const struct recipe *recipe,
			const struct lock *lock, struct cop_error *err);
int settings_add_services(json_t *stages, const struct recipe *recipe,
			  const struct lock *lock, struct cop_error *err);

/* settings_ssh_unit() - the unit that makes host keys at the first boot, as a file of the
 * tree; NULL where the lock has no ssh server */
const struct recipe_file *settings_ssh_unit(const struct lock *lock);
