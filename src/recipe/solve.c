/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a recipe to a lock.
 *
 * The base layer is solved alone, so that it is the same for every recipe of a suite.
 * All groups are then solved together on top of it, which settles every version and every
 * choice; after that each group is solved once more among what was chosen, to see which
 * of it the group needs: a package belongs to the first group that does.
 */
#include <fnmatch.h>
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"
#include "recipe/fetch.h"
#include "recipe/image.h"
#include "recipe/local.h"
#include "recipe/repositories.h"
#include "recipe/solver.h"

/* What was chosen, as the only list that apt sees. */
#define CHOICE_FILE "choice_Packages"
/* What apt gets to see beside the lists of repositories. */
#define KEPT_FILE  "kept_Packages"
#define EXTRA_FILE "extra_Packages"

/* Names in a list of image_tools(). */
#define TOOLS_MAX 16

static void solver_done(struct solver *solver)
{
	apt_plan_done(&solver->base);
	apt_plan_done(&solver->joint);
	apt_plan_done(&solver->tools);
	map_free(solver->in_base);
	map_free(solver->in_joint);
	pins_done(&solver->pins);
	index_free(solver->index);
	apt_free(solver->apt);
	closep(&solver->directory_fd);
	free(solver->words);
	free(solver->groups);
	buf_done(&solver->kept);
	buf_done(&solver->extra);
}

static int wrong_word(const struct solver *solver, const struct word *word,
		      struct cop_error *err, const char *reason)
{
	const struct recipe_package *package = word->package;
	const char *group = solver->recipe->groups[word->group].name;

	if (!package->path)
		return err_set(err, -ENOPKG, "%s: package '%s' of layer '%s': %s",
			       solver->recipe->path, package->name, group, reason);
	return err_set(err, -ENOPKG, "%s:%u:%u: package '%s' of group '%s': %s",
		       package->path, package->line, package->column, package->name,
		       group, reason);
}

/* --- what was asked for --- */

static int collect_words(struct solver *solver, struct cop_error *err)
{
	const struct recipe *recipe = solver->recipe;
	size_t n = 0;

	for (size_t i = 0; i < recipe->n_groups; i++)
		n += recipe->groups[i].n_packages;
	solver->words = calloc(n + 1, sizeof(*solver->words));
	if (!solver->words)
		return err_oom(err);
	for (size_t i = 0; i < recipe->n_groups; i++)
		for (size_t j = 0; j < recipe->groups[i].n_packages; j++)
			solver->words[solver->n_words++] =
				(struct word){&recipe->groups[i].packages[j], i};
	return 0;
}

/* apt would take an unknown name for a pattern or for "remove this one"; only what is
 * there by this very name is handed to it. */
static int check_word_exists(const struct solver *solver, const struct word *word,
			     struct cop_error *err)
{
	const char *name = word->package->name, *nearest;
	auto_buf providers = {}, near = {}, reason = {};

	if (index_find(solver->index, name, NULL))
		return 0;
	if (index_providers(solver->index, name, &providers) < 0)
		return err_oom(err);
	nearest = providers.size ? NULL : index_nearest(solver->index, name, &near);
	(void)buf_printf(&reason, "Unable to locate package %s", name);
	if (providers.size)
		(void)buf_printf(&reason, "; it is provided by: %s", providers.data);
	else if (nearest)
		(void)buf_printf(&reason, "; did you mean '%s'?", nearest);
	else
		(void)buf_printf(&reason, " in %s (%s)", solver->recipe->suite,
				 solver->recipe->architecture);
	return reason.failed ? err_oom(err) : wrong_word(solver, word, err, reason.data);
}

/* What the lists have of the name, for a message. */
static int wrong_version(const struct solver *solver, const struct word *word,
			 struct cop_error *err)
{
	const struct index_entry *entry =
		index_find(solver->index, word->package->name, NULL);
	auto_buf reason = {};

	(void)buf_printf(&reason, "no version is '%s'; there is", word->package->version);
	for (const char *comma = " "; entry && reason.size < 300; entry = entry->next) {
		(void)buf_append_text(&reason, comma);
		(void)index_field(entry, "Version", &reason);
		comma = ", ";
	}
	return reason.failed ? err_oom(err) : wrong_word(solver, word, err, reason.data);
}

static int check_word_version(const struct solver *solver, const struct word *word,
			      struct cop_error *err)
{
	const struct index_entry *entry =
		index_find(solver->index, word->package->name, NULL);

	for (; entry && word->package->version; entry = entry->next) {
		auto_buf version = {};

		if (index_field(entry, "Version", &version) == 0 &&
		    fnmatch(word->package->version, buf_text(&version), 0) == 0)
			return 0;
	}
	return word->package->version ? wrong_version(solver, word, err) : 0;
}

/* What lies beside the recipe comes first: it goes before an archive's package of the
 * same version. */
static int read_index(struct solver *solver, struct cop_error *err)
{
	int r = local_add(solver->recipe, solver->index, &solver->extra, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < solver->apt->n_repositories; i++) {
		const struct apt_repository *repository = &solver->apt->repositories[i];

		for (const char **list = repository->lists; *list; list++) {
			r = index_add_file(solver->index, *list, repository->lock.id,
					   err);
			if (r < 0)
				return r;
		}
	}
	for (size_t i = 0; i < solver->n_words; i++) {
		r = check_word_exists(solver, &solver->words[i], err);
		if (r >= 0)
			r = check_word_version(solver, &solver->words[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Versions that the recipe wants go before those that an earlier lock had. */
static void append_wanted(const struct solver *solver, struct buf *preferences)
{
	for (size_t i = 0; i < solver->n_words; i++)
		if (solver->words[i].package->version)
			(void)buf_printf(preferences,
					 "Package: %s\nPin: version %s\n"
					 "Pin-Priority: 1002\n\n",
					 solver->words[i].package->name,
					 solver->words[i].package->version);
}

static void append_priorities(const struct solver *solver, struct buf *preferences)
{
	for (size_t i = APT_DEBIAN; i < solver->apt->n_repositories; i++)
		repositories_pin(solver->apt->repositories[i].place->extra,
				 &solver->apt->repositories[i].lock, preferences);
}

/* What apt sees beside the repositories, in @file. */
static int write_extra(const struct solver *solver, const char *file,
		       const struct buf *list, struct cop_error *err)
{
	struct apt *apt = solver->apt;
	auto_buf path = {};
	int r;

	apt->extra = NULL;
	if (list->size == 0)
		return 0;
	r = apt_write(apt, file, list, err);
	if (r < 0)
		return r;
	(void)buf_printf(&path, "%s/%s", apt->root, file);
	apt->extra = path.failed ? NULL : arena_text(apt->arena, path.data);
	return apt->extra ? 0 : err_oom(err);
}

/* --- the base layer --- */

static int map_plan(const struct apt_plan *plan, struct map **ret_map,
		    struct cop_error *err)
{
	struct map *map = map_new();

	*ret_map = map;
	for (size_t i = 0; map && i < plan->n_changes; i++) {
		struct apt_change *change = &plan->changes[i];
		void **slot = map_slot(map, change->name, strlen(change->name));

		if (!slot)
			return err_oom(err);
		*slot = change;
	}
	return map ? 0 : err_oom(err);
}

/* dpkg's status after the base layer was installed, as far as apt looks at it. */
static int write_status(const struct solver *solver, struct cop_error *err)
{
	auto_buf status = {};

	for (size_t i = 0; i < solver->base.n_changes; i++) {
		const struct index_entry *entry =
			solver_entry(solver, &solver->base.changes[i], err);

		if (!entry)
			return -EBADMSG;
		(void)buf_append_text(&status, "Status: install ok installed\n");
		(void)buf_append(&status, entry->stanza, entry->size);
		(void)buf_append_text(&status,
				      text_ends_with(status.data, "\n") ? "\n" : "\n\n");
	}
	return apt_write(solver->apt, APT_STATUS, &status, err);
}

static int write_pins(const struct solver *solver, struct cop_error *err)
{
	auto_buf preferences = {};

	pins_append(&solver->pins, &preferences);
	return apt_write(solver->apt, APT_PREFERENCES, &preferences, err);
}

static int solve_base(struct solver *solver, struct cop_error *err)
{
	/* Where init-system-helpers may have either, apt alone would take usrmerge and
	 * with it the whole of perl. */
	const char *const words[] = {
		"?essential", "?priority(required)",
		index_find(solver->index, "usr-is-merged", NULL) ? "usr-is-merged" : NULL,
		NULL};
	auto_buf nothing = {};
	int r = apt_write(solver->apt, APT_STATUS, &nothing, err);

	if (r >= 0)
		r = write_pins(solver, err);
	if (r >= 0)
		r = write_extra(solver, KEPT_FILE, &solver->kept, err);
	if (r >= 0)
		r = solver_narrow(solver, true, err);
	/* Another repository decides nothing of what is the same for all. */
	solver->apt->only_debian = true;
	if (r >= 0)
		r = apt_simulate(solver->apt, words, &solver->base, err);
	if (r < 0)
		return err_prefix(err, r, "lock '%s': the base layer",
				  solver->recipe->path);
	if (solver->base.n_changes == 0)
		return err_set(err, -ENOPKG, "lock '%s': the base layer is empty",
			       solver->recipe->path);
	r = map_plan(&solver->base, &solver->in_base, err);
	return r < 0 ? r : write_status(solver, err);
}

/* --- all groups together --- */

/* apt's words for the first @n of what was asked for, without what the base has. */
static int simulate_words(const struct solver *solver, size_t n, struct apt_plan *plan,
			  struct cop_error *err)
{
	auto_free const char **names = calloc(n + 1, sizeof(*names));
	size_t n_names = 0;

	if (!names)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		const char *name = solver->words[i].package->name;

		if (!solver_look(solver->in_base, name))
			names[n_names++] = name;
	}
	return n_names ? apt_simulate(solver->apt, names, plan, err) : 0;
}

/* A change of something that the base has, or NULL. */
static const struct apt_change *find_conflict(const struct solver *solver,
					      const struct apt_plan *plan)
{
	for (size_t i = 0; i < plan->n_changes; i++)
		if (solver_look(solver->in_base, plan->changes[i].name))
			return &plan->changes[i];
	return NULL;
}

static void describe_conflict(const struct apt_change *conflict, struct cop_error *err)
{
	if (conflict->removed)
		(void)err_set(err, -ENOPKG, "it would remove '%s' of the base layer",
			      conflict->name);
	else
		(void)err_set(err, -ENOPKG,
			      "it would change '%s' of the base layer "
			      "from %s to %s",
			      conflict->name, conflict->old ? conflict->old : "nothing",
			      conflict->version);
}

/* 0: the first @n words go well together; -ENOPKG: they do not, with the reason. */
static int try_words(const struct solver *solver, size_t n, struct cop_error *err)
{
	struct apt_plan plan = {};
	const struct apt_change *conflict;
	int r = simulate_words(solver, n, &plan, err);

	conflict = find_conflict(solver, &plan);
	if (r >= 0 && conflict) {
		describe_conflict(conflict, err);
		r = -ENOPKG;
	}
	apt_plan_done(&plan);
	return r;
}

/* All together does not work: find the first word with which it ceases to.  The cost is a
 * few more simulations, once, for a message that names a line. */
static int blame(const struct solver *solver, struct cop_error *err)
{
	size_t good = 0, bad = solver->n_words;
	struct cop_error reason = {};
	int r;

	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;

		r = try_words(solver, middle, &reason);
		if (r < 0 && r != -ENOPKG)
			return err_copy(err, &reason);
		if (r < 0)
			bad = middle;
		else
			good = middle;
	}
	reason = (struct cop_error){};
	r = try_words(solver, bad, &reason);
	if (r < 0 && r != -ENOPKG)
		return err_copy(err, &reason);
	return wrong_word(solver, &solver->words[bad - 1], err, reason.message);
}

/* A wanted version of what the base has must be the base's. */
static int check_base_versions(const struct solver *solver, struct cop_error *err)
{
	for (size_t i = 0; i < solver->n_words; i++) {
		const struct recipe_package *package = solver->words[i].package;
		const struct apt_change *change =
			solver_look(solver->in_base, package->name);
		auto_buf reason = {};

		if (!change || !package->version ||
		    (!package->deb && fnmatch(package->version, change->version, 0) == 0))
			continue;
		(void)buf_printf(&reason, "the base layer has %s", change->version);
		if (package->deb)
			(void)buf_append_text(&reason, " of the archive, as for every "
						       "recipe");
		return wrong_word(solver, &solver->words[i], err, buf_text(&reason));
	}
	return 0;
}

/* The base knows neither recommendations nor wanted versions: it is the same for all. */
static int prepare_joint(struct solver *solver, struct cop_error *err)
{
	auto_buf preferences = {}, extra = {};
	int r = check_base_versions(solver, err);

	if (r < 0)
		return r;
	(void)buf_append(&extra, buf_text(&solver->kept), solver->kept.size);
	(void)buf_append(&extra, buf_text(&solver->extra), solver->extra.size);
	r = write_extra(solver, EXTRA_FILE, &extra, err);
	if (r >= 0 && solver->extra.size > 0)
		r = solver_narrow(solver, false, err);
	if (r < 0)
		return r;
	append_wanted(solver, &preferences);
	pins_append(&solver->pins, &preferences);
	append_priorities(solver, &preferences);
	solver->apt->only_debian = false;
	solver->apt->recommends = solver->recipe->recommends;
	return apt_write(solver->apt, APT_PREFERENCES, &preferences, err);
}

static int solve_joint(struct solver *solver, struct cop_error *err)
{
	struct cop_error reason = {};
	int r = prepare_joint(solver, err);

	if (r < 0)
		return r;
	r = simulate_words(solver, solver->n_words, &solver->joint, &reason);
	if (r < 0 && r != -ENOPKG)
		return err_copy(err, &reason);
	if (r < 0 || find_conflict(solver, &solver->joint))
		return blame(solver, err);
	return map_plan(&solver->joint, &solver->in_joint, err);
}

/* --- the tools that make images --- */

/* On the base alone: they are the same for every recipe that needs them. */
static int solve_tools(struct solver *solver, struct cop_error *err)
{
	const char *const *tools = image_tools(solver->recipe);
	const struct apt_change *conflict;
	const char *names[TOOLS_MAX + 1] = {};
	size_t n = 0;
	int r;

	for (; tools && *tools && n < TOOLS_MAX; tools++)
		if (!solver_look(solver->in_base, *tools))
			names[n++] = *tools;
	if (n == 0)
		return 0;
	r = apt_simulate(solver->apt, names, &solver->tools, err);
	conflict = r < 0 ? NULL : find_conflict(solver, &solver->tools);
	if (conflict) {
		describe_conflict(conflict, err);
		r = -ENOPKG;
	}
	return r < 0 ? err_prefix(err, r, "lock '%s': the tools that make images",
				  solver->recipe->path)
		     : 0;
}

/* --- which group needs what --- */

/* From here on only what was chosen can be chosen: apt sees nothing else, which is also
 * much quicker than the whole archive. */
static int restrict_choice(const struct solver *solver, struct cop_error *err)
{
	struct apt *apt = solver->apt;
	auto_buf nothing = {}, choice = {}, path = {};
	int r;

	for (size_t i = 0; i < solver->joint.n_changes; i++) {
		const struct index_entry *entry =
			solver_entry(solver, &solver->joint.changes[i], err);

		if (!entry)
			return -EBADMSG;
		(void)buf_append(&choice, entry->stanza, entry->size);
		(void)buf_append_text(&choice, "\n\n");
	}
	r = apt_write(apt, CHOICE_FILE, &choice, err);
	if (r >= 0)
		r = apt_write(apt, APT_PREFERENCES, &nothing, err);
	if (r < 0)
		return r;
	(void)buf_printf(&path, "%s/" CHOICE_FILE, apt->root);
	apt->extra = path.failed ? NULL : arena_text(apt->arena, path.data);
	apt->only_extra = true;
	return apt->extra ? 0 : err_oom(err);
}

static int mark_group(struct solver *solver, size_t group, size_t n_words,
		      struct cop_error *err)
{
	struct apt_plan plan = {};
	int r = simulate_words(solver, n_words, &plan, err);

	if (r < 0)
		(void)err_prefix(err, r, "lock '%s': group '%s' among what was chosen",
				 solver->recipe->path,
				 solver->recipe->groups[group].name);
	for (size_t i = 0; r >= 0 && i < plan.n_changes; i++) {
		const struct apt_change *change =
			solver_look(solver->in_joint, plan.changes[i].name);
		size_t *place =
			change ? &solver->groups[change - solver->joint.changes] : NULL;

		if (place && *place > group)
			*place = group;
	}
	apt_plan_done(&plan);
	return r;
}

static int assign_groups(struct solver *solver, struct cop_error *err)
{
	size_t n_groups = solver->recipe->n_groups, n_words = 0;
	int r;

	solver->groups = calloc(solver->joint.n_changes + 1, sizeof(*solver->groups));
	if (!solver->groups)
		return err_oom(err);
	for (size_t i = 0; n_groups > 0 && i < solver->joint.n_changes; i++)
		solver->groups[i] = n_groups - 1;
	r = n_groups > 1 ? restrict_choice(solver, err) : 0;
	for (size_t i = 0; i + 1 < n_groups && r >= 0; i++) {
		n_words += solver->recipe->groups[i].n_packages;
		r = mark_group(solver, i, n_words, err);
	}
	return r;
}

/* --- the whole --- */

static void forget_answer(struct solver *solver)
{
	solver->apt->recommends = false;
	apt_plan_done(&solver->base);
	apt_plan_done(&solver->joint);
	apt_plan_done(&solver->tools);
	solver->in_base = map_free(solver->in_base);
	solver->in_joint = map_free(solver->in_joint);
}

static int solve_pinned(struct solver *solver, struct cop_error *err)
{
	int r = solve_base(solver, err);

	if (r >= 0)
		r = solve_tools(solver, err);
	return r < 0 ? r : solve_joint(solver, err);
}

/* What a pin forbids may be the only answer: then it is better than none, and said. */
static int solve_all(struct solver *solver, struct cop_error *err)
{
	struct cop_error reason = {};
	int r = solve_pinned(solver, &reason);

	if (r == -ENOPKG && solver->pins.n_pins > 0) {
		apt_note(solver->options,
			 "the versions of the old lock cannot all be kept, all are "
			 "chosen anew: %s",
			 reason.message);
		forget_answer(solver);
		pins_done(&solver->pins);
		reason = (struct cop_error){};
		r = solve_pinned(solver, &reason);
	}
	if (r < 0)
		return err_copy(err, &reason);
	return assign_groups(solver, err);
}

static void note_pins(const struct solver *solver, const struct lock *lock)
{
	for (size_t i = 0; i < lock->n_packages; i++) {
		const struct lock_package *package = &lock->packages[i];
		const struct pin *pin = pins_find(&solver->pins, package->name);

		if (pin && pin->dropped)
			apt_note(solver->options,
				 "'%s' %s is no longer in the archive: now %s",
				 package->name, pin->package->version, package->version);
		else if (pin && pin->kept)
			apt_note(solver->options,
				 "'%s' %s is no longer in the archive: kept from the "
				 "store of sources",
				 package->name, package->version);
	}
}

static int check_updates(const struct solver *solver, struct cop_error *err)
{
	const char *const *names = solver->options->update_packages;

	for (; solver->previous && names && *names; names++)
		if (!lock_find(solver->previous, *names))
			return err_set(
				err, -EINVAL,
				"update '%s': the lock of '%s' has no such package",
				*names, solver->recipe->path);
	return 0;
}

static bool is_unchanged(const struct solver *solver)
{
	const struct lock *previous = solver->previous;
	const char *snapshot = solver->options->snapshot;

	if (!previous || solver->options->update ||
	    !lock_matches(previous, solver->recipe) ||
	    lock_check_files(previous, solver->recipe, NULL) < 0)
		return false;
	return !snapshot ||
	       (previous->snapshot && strcmp(previous->snapshot, snapshot) == 0);
}

static int run_solver(struct solver *solver, struct lock **ret_lock,
		      struct cop_error *err)
{
	int r = collect_words(solver, err);

	if (r >= 0)
		r = check_updates(solver, err);
	solver->index = index_new();
	if (!solver->index)
		return err_oom(err);
	if (r >= 0)
		r = apt_new(solver->recipe, solver->options, &solver->apt, err);
	if (r < 0)
		return r;
	solver->directory_fd = fetch_open(solver->options->sources_dir, err);
	if (solver->directory_fd < 0)
		return solver->directory_fd;
	r = apt_update(solver->apt, err);
	if (r >= 0)
		r = read_index(solver, err);
	if (r >= 0 && solver_keeps_versions(solver))
		r = pins_make(solver->apt, solver->index, solver->previous,
			      solver->directory_fd, &solver->pins, &solver->kept,
			      &solver->extra, err);
	if (r >= 0)
		r = solve_all(solver, err);
	return r < 0 ? r : solver_answer(solver, ret_lock, err);
}

int lock_solve(const struct recipe *recipe, const struct lock *previous,
	       const struct lock_options *options, struct lock **ret_lock,
	       struct cop_error *err)
{
	struct lock_options effective = *options;
	struct solver solver = {.recipe = recipe,
				.previous = previous,
				.options = &effective,
				.directory_fd = -EBADF};
	struct lock *lock = NULL;
	int r;

	if (options->snapshot && !check_date(options->snapshot))
		return err_set(err, -EINVAL,
			       "snapshot '%s' is not a date such as 20260912T075541Z",
			       options->snapshot);
	if (is_unchanged(&solver))
		return 1;
	effective.snapshot = solver_snapshot(previous, options);
	r = run_solver(&solver, &lock, err);
	if (r >= 0) {
		note_pins(&solver, lock);
		*ret_lock = lock;
	}
	/* Lists that make no sense are not for the next time. */
	if (r == -EBADMSG && solver.apt)
		solver.apt->kept = false;
	solver_done(&solver);
	return r < 0 ? r : 0;
}
