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

int engine_default_libdir(char **ret_path, struct cop_error *err)
{
	const char *named = getenv("COPPICE_LIBDIR");
	auto_free char *beside = NULL;
	char program[PATH_MAX];
	ssize_t n;

	if (named && *named) {
		beside = strdup(named);
		if (!beside)
			return err_oom(err);
		*ret_path = TAKE_PTR(beside);
		return 0;
	}
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (n < 0)
		return err_errno(err, "look up the running program");
	program[n] = '\0';
	*strrchr(program, '/') = '\0';
	if (asprintf(&beside, "%s/libdir", program) < 0) {
		beside = NULL;
		return err_oom(err);
	}
	if (!is_libdir(beside)) {
		free(beside);
		beside = strdup(COPPICE_LIBDIR);
		if (!beside)
			return err_oom(err);
	}
	*ret_path = TAKE_PTR(beside);
	return 0;
}
