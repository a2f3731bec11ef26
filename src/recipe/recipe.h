/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes: what people write.  recipe (YAML) -> lock (every package pinned) -> manifest
 * (a pure function of both).  Needs apt for locking; never the store.
 */
#pragma once

#include <jansson.h>

#include <coppice/progress.h>

#include "base/buf.h"
#include "base/error.h"

struct recipe;
struct lock;

/* recipe_load() - read and check; errors name file, line and column: "r.yaml:3:5: unknown
 * key 'pakages'".  -EINVAL for anything wrong in the text. */
int recipe_load(const char *path, struct recipe **ret_recipe, struct cop_error *err);
struct recipe *recipe_free(struct recipe *recipe);
DEFINE_AUTO_PTR(recipe)

/* "20260912T075541Z" */
#define LOCK_DATE_SIZE 17

/*
 * struct lock_options
 * @sources_dir: where downloads are kept by checksum (made when missing)
 * @update:      drop every pin; with @update_packages only these (NULL-terminated)
 * @snapshot:    solve against the archive as it was then (as lock_date() writes it),
 *               fetched from where the recipe's snapshot: or the host's apt says; NULL:
 *               that of the previous lock, where nothing is updated, else as it is now
 * @progress:    may be NULL
 * @note:        told what a person should know (a host setting that was used, ...)
 */
struct lock_options {
	const char *sources_dir;
	bool update;
	const char *const *update_packages;
	const char *snapshot;
	int cancel_fd;
	const struct cop_progress *progress;
	void (*note)(void *data, const char *line);
	void *data;
};

/* lock_solve() - solve against the archive, keeping every pin of @previous (may be NULL)
 * that still satisfies the request.  Return: 0; 1 when @previous still answers the very
 * same request (no network was touched; *ret_lock is not set); a negative errno. */
int lock_solve(const struct recipe *recipe, const struct lock *previous,
	       const struct lock_options *options, struct lock **ret_lock,
	       struct cop_error *err);

/* lock_date() - what people write for a date, in UTC ("2026-09-12", "20260912",
 * "2026-09-12T07:55:41Z", "20260912T075541Z"), as the last of these; 0 or -EINVAL */
int lock_date(const char *text, char date[LOCK_DATE_SIZE], struct cop_error *err);

/* lock_path() - RECIPE.lock for a recipe's path; freed by the caller; NULL: out of memory
 */
char *lock_path(const char *recipe_path);

/* lock_load() / lock_save() - the text of docs/lock-format.md; saved atomically */
int lock_load(const char *path, struct lock **ret_lock, struct cop_error *err);
int lock_save(const struct lock *lock, const char *path, struct cop_error *err);
struct lock *lock_free(struct lock *lock);
DEFINE_AUTO_PTR(lock)

/* lock_snapshot() - the date as of which it was solved, or NULL */
const char *lock_snapshot(const struct lock *lock);

/* lock_matches() - is the lock the answer to this recipe's request? */
bool lock_matches(const struct lock *lock, const struct recipe *recipe);

/* lock_has_files() - is a package in it that lies beside the recipe? */
bool lock_has_files(const struct lock *lock);

/* lock_check_files() - are the packages beside the recipe those that were locked?
 * -ESTALE: one is not. */
int lock_check_files(const struct lock *lock, const struct recipe *recipe,
		     struct cop_error *err);

/* lock_bring_files() - lock_check_files(), and what is missing of them into the store of
 * sources, durably */
int lock_bring_files(const struct lock *lock, const struct recipe *recipe,
		     const char *sources_dir, struct cop_error *err);

/* lock_diff() - call @line for each package added, removed or changed ("+ htop 3.4.1-5",
 * "- less 668-1", "~ htop 3.4.1-5 -> 3.4.1-6"), by name; @before may be NULL */
int lock_diff(const struct lock *before, const struct lock *after,
	      void (*line)(void *data, const char *text), void *data,
	      struct cop_error *err);

/* recipe_manifest() - an osbuild version 2 manifest, a new reference; offline and pure.
 * @host_tools: images are made by the programs of whoever builds, not by those of the
 * lock
 *
 * -ESTALE when the lock answers another request, or a package beside the recipe is not
 * the one that was locked. */
int recipe_manifest(const struct recipe *recipe, const struct lock *lock, bool host_tools,
		    json_t **ret_json, struct cop_error *err);
