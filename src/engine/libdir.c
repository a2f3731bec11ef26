/* SPDX-License-Identifier: Apache-2.0 */
/* Where modules are when nobody says so. */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/process.h"

static char *program_directory(void)
{
	const char *program = process_own_path();
	const char *slash = program ? strrchr(program, '/') : NULL;

	return slash ? strndup(program, (size_t)(slash - program)) : NULL;
}

/* Return: @directory@path when it is there, else NULL */
static char *find(const char *directory, const char *path)
{
	char *whole = NULL;

	if (!directory || asprintf(&whole, "%s%s", directory, path) < 0)
		return NULL;
	if (access(whole, F_OK) == 0)
		return whole;
	free(whole);
	return NULL;
}

/* libdir/ beside the running program, which is how a build tree looks; NULL: none. */
static char *find_beside_program(void)
{
	auto_free char *directory = program_directory();
	auto_free char *stages = find(directory, "/libdir/stages/");

	return stages ? find(directory, "/libdir") : NULL;
}

int engine_default_libdir(char **ret_path, struct cop_error *err)
{
	const char *named = getenv("COPPICE_LIBDIR");
	char *path = named && *named ? strdup(named) : find_beside_program();

	if (!path && !(named && *named))
		path = strdup(COPPICE_LIBDIR);
	if (!path)
		return err_oom(err);
	*ret_path = path;
	return 0;
}

int engine_find_guard(char **ret_path, struct cop_error *err)
{
	auto_free char *directory = program_directory();
	char *path = find(getenv("COPPICE_LIBDIR"), "/coppice-guard");

	if (!path)
		path = find(directory, "/libdir/coppice-guard");
	if (!path)
		path = find(COPPICE_LIBDIR, "/coppice-guard");
	if (!path)
		return err_set(err, -ENOENT,
			       "'%s/coppice-guard' is missing: install coppice anew, or "
			       "say with COPPICE_LIBDIR where it is",
			       COPPICE_LIBDIR);
	*ret_path = path;
	return 0;
}
