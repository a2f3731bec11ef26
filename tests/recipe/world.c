/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"

bool world_tools(void)
{
	static const char *const tools[][3] = {{"gpg", "--version"},
					       {"apt-get", "--version"},
					       {"dpkg-deb", "--version"}};

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (process_check(tools[i], NULL, NULL, NULL) < 0) {
			print_message("skipped: there is no %s here\n", tools[i][0]);
			return false;
		}
	return true;
}

void run_step(struct world *world, const char *step)
{
	const char *script = getenv("COPPICE_MAKE_REPO");
	const char *const argv[] = {"sh", script, world->dir, step, NULL};
	struct cop_error err = {};

	assert_non_null(script);
	assert_ok(process_check(argv, NULL, NULL, &err), &err);
}

void run_shell(struct world *world, const char *command)
{
	const char *const argv[] = {"sh", "-c", command, world->dir, NULL};
	struct cop_error err = {};

	assert_ok(process_check(argv, NULL, NULL, &err), &err);
}

static struct world template;

int world_group_setup(void **state)
{
	(void)state;
	(void)strcpy(template.dir, "/tmp/test-solve-XXXXXX");
	if (!mkdtemp(template.dir))
		return -1;
	if (world_tools()) {
		run_step(&template, "key");
		run_step(&template, "first");
	}
	return 0;
}

int world_group_teardown(void **state)
{
	(void)state;
	return fs_remove_all(AT_FDCWD, template.dir, true, NULL);
}

int world_setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const char *argv[] = {"cp", "-aT", template.dir, NULL, NULL};

	if (!world)
		return -1;
	*state = world;
	(void)strcpy(world->dir, "/tmp/test-solve-XXXXXX");
	argv[3] = world->dir;
	return mkdtemp(world->dir) && process_check(argv, NULL, NULL, NULL) >= 0 ? 0 : -1;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	(void)fs_remove_all(AT_FDCWD, world->dir, true, NULL);
	buf_done(&world->notes);
	free(world);
	return 0;
}

static void take_note(void *data, const char *line)
{
	(void)buf_printf(&((struct world *)data)->notes, "%s\n", line);
}

static void take_progress(void *data, const char *what, uint64_t done, uint64_t total,
			  const char *unit)
{
	struct world *world = data;

	(void)what;
	(void)unit;
	/* Two readers may call at once; only whether anything came matters. */
	__atomic_add_fetch(&world->n_updates, 1, __ATOMIC_RELAXED);
	if (done == total)
		__atomic_store_n(&world->ended, true, __ATOMIC_RELAXED);
}

struct recipe *make_recipe(const struct world *world, const char *mirror,
			   const char *keyring, const char *rest)
{
	auto_buf text = {}, path = {};
	struct recipe *recipe = NULL;
	struct cop_error err = {};

	(void)buf_printf(&path, "%s/r.yaml", world->dir);
	(void)buf_printf(&text,
			 "suite: trixie\nmirror: %s%s/main\n"
			 "security-mirror: file:%s/security\nkeyring: %s\n%s",
			 mirror, world->dir, world->dir, keyring, rest);
	assert_ok(recipe_parse(path.data, text.data, text.size, &recipe, &err), &err);
	return recipe;
}

struct recipe *plain_recipe(const struct world *world, const char *rest)
{
	return make_recipe(world, "file:", "good.gpg", rest);
}

static int solve_with(struct world *world, const struct recipe *recipe,
		      const struct lock *previous, struct lock_options options,
		      struct lock **ret_lock, struct cop_error *err)
{
	const struct cop_progress progress = {take_progress, world};
	auto_buf sources = {};

	(void)buf_printf(&sources, "%s/store/sources", world->dir);
	options.sources_dir = sources.data;
	options.progress = &progress;
	options.note = take_note;
	options.data = world;
	buf_truncate(&world->notes, 0);
	return lock_solve(recipe, previous, &options, ret_lock, err);
}

int solve(struct world *world, const struct recipe *recipe, const struct lock *previous,
	  bool update, const char *const *update_packages, struct lock **ret_lock,
	  struct cop_error *err)
{
	const struct lock_options options = {.update = update,
					     .update_packages = update_packages};

	return solve_with(world, recipe, previous, options, ret_lock, err);
}

int solve_snapshot(struct world *world, const struct recipe *recipe,
		   const struct lock *previous, const char *date, struct lock **ret_lock,
		   struct cop_error *err)
{
	const struct lock_options options = {.snapshot = date};

	return solve_with(world, recipe, previous, options, ret_lock, err);
}

struct lock *solved(struct world *world, const struct recipe *recipe,
		    const struct lock *previous)
{
	struct cop_error err = {};
	struct lock *lock = NULL;

	assert_ok(solve(world, recipe, previous, false, NULL, &lock, &err), &err);
	assert_non_null(lock);
	return lock;
}

void refused(struct world *world, const struct recipe *recipe, const char *wanted)
{
	struct cop_error err = {};
	struct lock *lock = NULL;
	int r = solve(world, recipe, NULL, false, NULL, &lock, &err);

	assert_true(r < 0);
	assert_null(lock);
	if (!strstr(err.message, wanted))
		fail_msg("'%s' is not in '%s'", wanted, err.message);
}

const char *version_of(const struct lock *lock, const char *name)
{
	const struct lock_package *package = lock_find(lock, name);

	assert_non_null(package);
	return package->version;
}
