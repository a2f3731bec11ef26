/* SPDX-License-Identifier: Apache-2.0 */
/* A small signed archive of the test's own (make-repo.sh), and locking against it. */
#pragma once

#include "testlib.h"

#include "base/buf.h"
#include "recipe/model.h"

/* @dir: of the archive; @notes: what lock_solve() told; @n_updates: its progress calls */
struct world {
	char dir[64];
	struct buf notes;
	unsigned int n_updates;
	bool ended;
};

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* Skips the test where a program is missing that makes the archive. */
#define NEED_TOOLS()                \
	do {                        \
		if (!world_tools()) \
			skip();     \
	} while (0)

bool world_tools(void);

/* The archive is made once; every test gets a copy. */
int world_group_setup(void **state);
int world_group_teardown(void **state);
int world_setup(void **state);
int world_teardown(void **state);

/* run_step() - a step of make-repo.sh */
void run_step(struct world *world, const char *step);

/* run_shell() - a command with the archive's directory as $0; must succeed */
void run_shell(struct world *world, const char *command);

/* make_recipe() - r.yaml in the archive's directory; @mirror goes before that directory,
 * and @rest begins in line 5 */
struct recipe *make_recipe(const struct world *world, const char *mirror,
			   const char *keyring, const char *rest);
struct recipe *plain_recipe(const struct world *world, const char *rest);

/* solve() / solved() / refused() - lock_solve(); as it must succeed; as it must fail with
 * @wanted in its message */
int solve(struct world *world, const struct recipe *recipe, const struct lock *previous,
	  bool update, const char *const *update_packages, struct lock **ret_lock,
	  struct cop_error *err);
struct lock *solved(struct world *world, const struct recipe *recipe,
		    const struct lock *previous);
void refused(struct world *world, const struct recipe *recipe, const char *wanted);

/* snapshot_of() - solve() as of that date */
int solve_snapshot(struct world *world, const struct recipe *recipe,
		   const struct lock *previous, const char *date, struct lock **ret_lock,
		   struct cop_error *err);

/* version_of() - of a package that must be in the lock */
const char *version_of(const struct lock *lock, const char *name);
