/* SPDX-License-Identifier: Apache-2.0 */
/* From what apt chose to the lock that says it: facts of every package, layers, marks,
 * files and their time. */
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"
#include "recipe/fetch.h"
#include "recipe/image.h"
#include "recipe/numbers.h"
#include "recipe/solver.h"

const struct index_entry *solver_entry(const struct solver *solver,
				       const struct apt_change *change,
				       struct cop_error *err)
{
	const struct index_entry *entry =
		index_find(solver->index, change->name, change->version);

	if (!entry)
		(void)err_set(err, -EBADMSG,
			      "lock '%s': apt chose '%s' %s, which no list has",
			      solver->recipe->path, change->name, change->version);
	return entry;
}

static int take_field(const struct solver *solver, struct lock *lock,
		      const struct index_entry *entry, const char *name,
		      const char *field, const char **ret_value, struct cop_error *err)
{
	auto_buf value = {};
	int r = index_field(entry, field, &value);

	if (r == -ENOENT || (r >= 0 && value.size == 0))
		return err_set(err, -EBADMSG,
			       "lock '%s': the list of %s gives no %s of '%s'",
			       solver->recipe->path, entry->repository, field, name);
	*ret_value = r < 0 ? NULL : arena_text(lock->arena, value.data);
	return *ret_value ? 0 : err_oom(err);
}

/* The archive's lists are signed, but what goes into a lock must also be fit for one. */
static int check_entry(const struct solver *solver, const struct lock_package *package,
		       struct cop_error *err)
{
	const char *problem = NULL;

	if (!check_package_name(package->name))
		problem = "name";
	else if (!check_version(package->version))
		problem = "version";
	else if (!check_relative_path(package->path))
		problem = "path";
	else if (strlen(package->sha256) != SHA256_HEX || !text_is_hex(package->sha256))
		problem = "checksum";
	else if (strcmp(package->architecture, solver->recipe->architecture) != 0 &&
		 strcmp(package->architecture, "all") != 0)
		problem = "architecture";
	else if (package->size == 0)
		problem = "size";
	if (!problem)
		return 0;
	return err_set(err, -EBADMSG, "lock '%s': the list of %s gives '%s' a bad %s",
		       solver->recipe->path, package->repository, package->name, problem);
}

static int add_package(const struct solver *solver, struct lock *lock,
		       const struct apt_change *change, const char *layer,
		       struct cop_error *err)
{
	struct lock_package *package = &lock->packages[lock->n_packages];
	const struct index_entry *entry = solver_entry(solver, change, err);
	const char *size = NULL;
	int r;

	if (!entry)
		return -EBADMSG;
	package->layer = arena_text(lock->arena, layer);
	package->name = arena_text(lock->arena, change->name);
	package->version = arena_text(lock->arena, change->version);
	package->repository = arena_text(lock->arena, entry->repository);
	if (!package->layer || !package->name || !package->version ||
	    !package->repository)
		return err_oom(err);
	r = take_field(solver, lock, entry, change->name, "Architecture",
		       &package->architecture, err);
	if (r >= 0)
		r = take_field(solver, lock, entry, change->name, "SHA256",
			       &package->sha256, err);
	if (r >= 0)
		r = take_field(solver, lock, entry, change->name, "Filename",
			       &package->path, err);
	if (r >= 0)
		r = take_field(solver, lock, entry, change->name, "Size", &size, err);
	if (r < 0)
		return r;
	if (text_starts_with(package->path, "./"))
		package->path += 2;
	if (text_to_u64(size, &package->size) < 0)
		package->size = 0;
	if (strcmp(layer, BASE_LAYER) == 0)
		package->manual = index_is(entry, "Essential", "yes") ||
				  index_is(entry, "Priority", "required") ||
				  strcmp(package->name, "usr-is-merged") == 0;
	lock->n_packages++;
	return check_entry(solver, package, err);
}

static int add_packages(const struct solver *solver, struct lock *lock,
			struct cop_error *err)
{
	size_t n = solver->base.n_changes + solver->joint.n_changes +
		   solver->tools.n_changes;
	int r = 0;

	lock->packages = arena_alloc(lock->arena, (n + 1) * sizeof(*lock->packages));
	if (!lock->packages)
		return err_oom(err);
	for (size_t i = 0; i < solver->base.n_changes && r >= 0; i++)
		r = add_package(solver, lock, &solver->base.changes[i], BASE_LAYER, err);
	for (size_t group = 0; group < solver->recipe->n_groups && r >= 0; group++)
		for (size_t i = 0; i < solver->joint.n_changes && r >= 0; i++)
			if (solver->groups[i] == group)
				r = add_package(solver, lock, &solver->joint.changes[i],
						solver->recipe->groups[group].name, err);
	/* The marks of the base are the same for all: asking for one of its packages
	 * changes nothing. */
	for (size_t i = 0; i < lock->n_packages && r >= 0; i++)
		for (size_t j = 0; j < solver->n_words; j++)
			if (!solver_look(solver->in_base, lock->packages[i].name) &&
			    strcmp(lock->packages[i].name,
				   solver->words[j].package->name) == 0)
				lock->packages[i].manual = true;
	return r;
}

static int add_tools(const struct solver *solver, struct lock *lock,
		     struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < solver->tools.n_changes && r >= 0; i++)
		r = add_package(solver, lock, &solver->tools.changes[i], BUILD_LAYER,
				err);
	for (size_t i = 0; i < lock->n_packages && r >= 0; i++)
		for (const char *const *tool = image_tools(solver->recipe); tool && *tool;
		     tool++)
			if (lock_is_tool(&lock->packages[i]) &&
			    strcmp(lock->packages[i].name, *tool) == 0)
				lock->packages[i].manual = true;
	return r;
}

/* A package may be in the tree and among the tools: the second time it is there. */
static int fetch_all(const struct solver *solver, const struct lock *lock,
		     struct cop_error *err)
{
	const size_t n_tools = solver->tools.n_changes;
	const size_t n_tree = lock->n_packages - n_tools;
	int r = lock_bring_files(lock, solver->recipe, solver->options->sources_dir, err);

	if (r >= 0)
		r = fetch_packages(solver->apt, solver->directory_fd, lock->packages,
				   n_tree, err);
	return r < 0 ? r
		     : fetch_packages(solver->apt, solver->directory_fd,
				      lock->packages + n_tree, n_tools, err);
}

static int copy_texts(struct arena *arena, const char **texts, const char ***ret_texts)
{
	const char **copies;
	size_t n = 0;

	while (texts[n])
		n++;
	copies = arena_alloc(arena, (n + 1) * sizeof(*copies));
	for (size_t i = 0; copies && i < n; i++) {
		copies[i] = arena_text(arena, texts[i]);
		if (!copies[i])
			return -ENOMEM;
	}
	*ret_texts = copies;
	return copies ? 0 : -ENOMEM;
}

static int add_repositories(const struct solver *solver, struct lock *lock,
			    struct cop_error *err)
{
	const size_t n = solver->apt->n_repositories;
	const char *newest = "";

	lock->repositories = arena_alloc(lock->arena, n * sizeof(*lock->repositories));
	if (!lock->repositories)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		const struct apt_repository *from = &solver->apt->repositories[i];
		struct lock_repository *to = &lock->repositories[i];

		to->id = arena_text(lock->arena, from->lock.id);
		to->suite = arena_text(lock->arena, from->lock.suite);
		to->origin = arena_text(lock->arena, from->lock.origin);
		to->label = arena_text(lock->arena, from->lock.label);
		if (!to->id || !to->suite || !to->origin || !to->label ||
		    copy_texts(lock->arena, from->lock.components, &to->components) < 0 ||
		    copy_texts(lock->arena, from->lock.keys, &to->keys) < 0)
			return err_oom(err);
		if (from->date && strcmp(from->date, newest) > 0)
			newest = from->date;
	}
	lock->n_repositories = n;
	lock->date = arena_text(lock->arena, newest);
	return lock->date ? 0 : err_oom(err);
}

static size_t base_size(const struct lock *lock)
{
	size_t n = 0;

	while (n < lock->n_packages && strcmp(lock->packages[n].layer, BASE_LAYER) == 0)
		n++;
	return n;
}

static bool same_base(const struct lock *a, const struct lock *b)
{
	size_t n = base_size(a);

	if (n != base_size(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(a->packages[i].sha256, b->packages[i].sha256) != 0)
			return false;
	return true;
}

/* The base decides the time of the whole: a newer package in a group must not change the
 * ids of the layers below it.  What is newer gets this time when it is unpacked. */
static int find_epoch(const struct solver *solver, struct lock *lock,
		      struct cop_error *err)
{
	if (solver->previous && same_base(solver->previous, lock)) {
		lock->source_epoch = solver->previous->source_epoch;
		return 0;
	}
	return fetch_newest_mtime(solver->options, solver->directory_fd, lock->packages,
				  base_size(lock), &lock->source_epoch, err);
}

int solver_answer(const struct solver *solver, struct lock **ret_lock,
		  struct cop_error *err)
{
	const struct recipe *recipe = solver->recipe;
	auto_ptr(lock) lock = lock_new();
	int r;

	if (!lock)
		return err_oom(err);
	lock->suite = arena_text(lock->arena, recipe->suite);
	lock->architecture = arena_text(lock->arena, recipe->architecture);
	lock->request = arena_text(lock->arena, recipe->request);
	if (!lock->suite || !lock->architecture || !lock->request)
		return err_oom(err);
	if (solver->options->snapshot) {
		lock->snapshot = arena_text(lock->arena, solver->options->snapshot);
		if (!lock->snapshot)
			return err_oom(err);
	}
	r = add_repositories(solver, lock, err);
	if (r >= 0)
		r = add_packages(solver, lock, err);
	if (r >= 0)
		r = add_tools(solver, lock, err);
	if (r >= 0)
		r = fetch_all(solver, lock, err);
	if (r >= 0)
		r = find_epoch(solver, lock, err);
	if (r >= 0)
		r = numbers_assign(lock, solver->previous, solver->directory_fd, err);
	if (r < 0)
		return r;
	*ret_lock = TAKE_PTR(lock);
	return 0;
}
