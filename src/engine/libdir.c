/* SPDX-License-Identifier: Apache-2.0 */
/* Where modules are when nobody says so. */
#include "engine/engine.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

static bool is_libdir(const char *path)
{
	auto_free char *stages = NULL;
	struct stat st;

	if (asprintf(&stages, "%s/stages", path) < 0) {
		stages = NULL;
		return false;
	}
	return stat(stages, &st) == 0 && S_ISDIR(st.st_mode);
}

/* libdir/ beside the running program, which is how a build tree looks; NULL: none. */
static char *find_beside_program(void)
{
	char program[PATH_MAX], *path = NULL;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n < 0)
		return NULL;
	program[n] = '\0';
	*strrchr(program, '/') = '\0';
	if (asprintf(&path, "%s/libdir", program) < 0)
		return NULL;
	if (is_libdir(path))
		return path;
	free(path);
	return NULL;
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
