/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recipe and a lock are made of, for the files of this room.  Everything hangs on
 * the arena of its recipe or lock; lists of text are NULL-terminated and never NULL.
 */
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "base/arena.h"
#include "digest/sha256.h"
#include "recipe/recipe.h"

/* The layer that every recipe of a suite and architecture has in common. */
#define BASE_LAYER "base"
/* Tools that make images: the last layer, on the base, and no part of the tree. */
#define BUILD_LAYER "build"
/* Where packages are from that lie beside the recipe. */
#define LOCAL_REPOSITORY "local"

struct recipe_deb;

/* @version: a pattern with '*', or NULL; @deb: it is a file beside the recipe, of exactly
 * this version; else NULL; @path: of the recipe that names it; NULL: a setting needs it
 */
struct recipe_package {
	const char *name;
	const char *version;
	const struct recipe_deb *deb;
	const char *path;
	unsigned int line, column;
};

struct recipe_group {
	const char *name;
	struct recipe_package *packages;
	size_t n_packages;
};

/* @content is what the file will hold, read when the recipe was; @user_name and
 * @group_name stand instead of the numbers, or are NULL; @secret: the name of what it
 * will hold instead, or NULL */
struct recipe_file {
	const char *path;
	const char *content;
	size_t size;
	char sha256[SHA256_HEX + 1];
	mode_t mode;
	uint32_t user, group;
	const char *user_name, *group_name;
	const char *secret;
};

/*
 * struct recipe_repository - one besides Debian's own
 * @name:       a line about it, or NULL
 * @components: empty where each suite is a directory, such as "./"
 * @keys:       as files of the tree; only what one of them signed is believed
 * @priority:   among repositories; 0: as apt has it
 * @disabled:   apt of the finished tree does not look at it
 * @snapshot:   with "@SNAPSHOTID@" in it, or NULL
 * @path, @line, @column: of the recipe that gives it
 */
struct recipe_repository {
	const char *id;
	const char *name;
	const char **uris;
	const char **suites;
	const char **components;
	struct recipe_file *keys;
	size_t n_keys;
	int priority;
	bool disabled;
	const char *snapshot;
	const char *path;
	unsigned int line, column;
};

/*
 * @path:     of the recipe, as given
 * @keyring:  as written, or NULL: the archive's own
 * @snapshot: with "@SNAPSHOTID@" in it, or NULL
 * @hostname: or NULL
 * @image:    or NULL
 * @kernel_name: the package, or NULL: by the architecture
 * @kernel_append: words for its command line, or NULL
 * @recommends: of what is in groups is installed, too
 * @late_commands: the last thing that is done to the tree
 * @settings: never NULL
 * @request:  hash over what decides the answer of the solver
 */
struct recipe {
	struct arena *arena;
	const char *path;
	const char *suite;
	const char *architecture;
	const char **mirrors;
	const char **security_mirrors;
	const char *snapshot;
	const char *security_snapshot;
	const char *keyring;
	const char **components;
	struct recipe_repository *repositories;
	size_t n_repositories;
	struct recipe_group *groups;
	size_t n_groups;
	const char *hostname;
	struct recipe_file *files;
	size_t n_files;
	const char **commands;
	const char **late_commands;
	bool recommends;
	struct recipe_settings *settings;
	struct recipe_image *image;
	const char *kernel_name;
	const char *kernel_append;
	char request[SHA256_HEX + 1];
};

/* @id is the suite's name in Debian's archive, "trixie-security", and "ID/SUITE" for
 * another repository of the recipe */
struct lock_repository {
	const char *id;
	const char *origin;
	const char *label;
	const char *suite;
	const char **components;
	const char **keys;
};

struct lock_package {
	const char *layer;
	const char *name;
	const char *version;
	const char *architecture;
	uint64_t size;
	const char *sha256;
	const char *repository;
	const char *path;
	bool manual;
};

/* A user or group, or both, that @package may make. */
struct lock_account {
	const char *name;
	uint32_t number;
	const char *package;
};

/*
 * @date:     newest date of the repositories, "20260912T075541Z"
 * @snapshot: the date that was asked for in the same form, or NULL
 * @packages: layer after layer, in each in an order that is good for unpacking
 * @accounts: by name, then by package; a name has one number, and a number one name
 */
struct lock {
	struct arena *arena;
	const char *suite;
	const char *architecture;
	const char *request;
	const char *snapshot;
	int64_t source_epoch;
	const char *date;
	struct lock_repository *repositories;
	size_t n_repositories;
	struct lock_package *packages;
	size_t n_packages;
	struct lock_account *accounts;
	size_t n_accounts;
};

/* lock_is_tool() - is it of the layer of tools? */
static inline bool lock_is_tool(const struct lock_package *package)
{
	return strcmp(package->layer, BUILD_LAYER) == 0;
}

/* lock_new() - empty, with its arena; NULL when memory is out */
struct lock *lock_new(void);

/* lock_find() - the package of that name, or NULL */
const struct lock_package *lock_find(const struct lock *lock, const char *name);

/* lock_parse() / lock_format() - lock_load() and lock_save() without the file; @name is
 * for messages */
int lock_parse(const char *name, const char *text, size_t size, struct lock **ret_lock,
	       struct cop_error *err);
int lock_format(const struct lock *lock, struct buf *buf, struct cop_error *err);

/* recipe_parse() - recipe_load() of text in memory; `source:` files are still read from
 * beside @path */
int recipe_parse(const char *path, const char *text, size_t size,
		 struct recipe **ret_recipe, struct cop_error *err);

/* arena_text() - a copy of @text; NULL when memory is out */
char *arena_text(struct arena *arena, const char *text);
