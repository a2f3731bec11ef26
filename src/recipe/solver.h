/* SPDX-License-Identifier: Apache-2.0 */
/* What solve.c and answer.c share: the state of one run of lock_solve(). */
#pragma once

#include <string.h>

#include "base/map.h"
#include "recipe/apt.h"
#include "recipe/index.h"
#include "recipe/model.h"
#include "recipe/pins.h"

/* A package that was asked for, in the order of the recipe. */
struct word {
	const struct recipe_package *package;
	size_t group;
};

/*
 * struct solver
 * @words:    all that was asked for
 * @base:     the plan of the base layer, on nothing
 * @joint:    that of all groups together, on the base
 * @tools:    that of the programs that make images, on the base
 * @in_base, @in_joint: name -> struct apt_change
 * @groups:   the group of each change of @joint
 * @kept:     a list of downloads that Debian's archive has no longer
 * @extra:    the same of other repositories, and of files beside the recipe: no part of
 *            the base, which is Debian's
 */
struct solver {
	const struct recipe *recipe;
	const struct lock *previous;
	const struct lock_options *options;
	int directory_fd;
	struct apt *apt;
	struct index *index;
	struct pins pins;
	struct word *words;
	size_t n_words;
	struct apt_plan base;
	struct apt_plan joint;
	struct apt_plan tools;
	struct map *in_base;
	struct map *in_joint;
	size_t *groups;
	struct buf kept, extra;
};

static inline void *solver_look(const struct map *map, const char *name)
{
	return map_get(map, name, strlen(name));
}

/* solver_entry() - what the lists say of a package of a plan; NULL with @err filled */
const struct index_entry *solver_entry(const struct solver *solver,
				       const struct apt_change *change,
				       struct cop_error *err);

/* solver_narrow() - from here on apt sees only what can play a part in an answer; where
 * it is not @for_base, nothing that a file beside the recipe takes the place of */
int solver_narrow(struct solver *solver, bool for_base, struct cop_error *err);

/* solver_snapshot() - the date as of which to solve, or NULL: as it is now */
const char *solver_snapshot(const struct lock *previous,
			    const struct lock_options *options);

/* solver_keeps_versions() - do those of the previous lock go before others?  Not where it
 * is of another date than the one that was asked for. */
bool solver_keeps_versions(const struct solver *solver);

/* solver_answer() - the lock, with every package fetched */
int solver_answer(const struct solver *solver, struct lock **ret_lock,
		  struct cop_error *err);
