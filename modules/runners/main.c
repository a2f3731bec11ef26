/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"
#include "modules/runners/runners.h"

/* "linux" serves any distribution: it prepares nothing but what the sandbox has. */
static const struct {
	const char *name;
	bool prepares;
} runners[] = {
	{"org.osbuild.debian", true},
	{"org.osbuild.linux", false},
	{"org.osbuild.ubuntu", true},
};

static int find(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(runners); i++)
		if (strcmp(runners[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

bool runner_is_meant(const char *path)
{
	return find(path) >= 0;
}

/* The build root's own cache serves as it is; without one the linker still finds what is
 * in the usual places, so that a failure here is none. */
static void make_linker_cache(void)
{
	static const char *const argv[] = {"/usr/sbin/ldconfig", NULL};
	auto_close int fd = -EBADF;
	struct stat st;
	int status;

	if (stat("/etc/ld.so.cache", &st) == 0 || stat(argv[0], &st) < 0)
		return;
	fd = open("/etc/ld.so.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	(void)process_run(&(struct process_options){.argv = argv}, &status, NULL);
}

static int prepare(struct cop_error *err)
{
	auto_close int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (root_fd < 0)
		return err_errno(err, "open '/'");
	r = runner_make_users(root_fd, err);
	if (r == 0)
		r = runner_make_files(root_fd, err);
	if (r == 0)
		make_linker_cache();
	/* What a running system asks over the bus would hang here. */
	(void)unlink("/etc/nsswitch.conf");
	return r;
}

int runner_main(int argc, char **argv)
{
	struct cop_error err = {};
	int runner = argc > 0 ? find(argv[0]) : -ENOENT, r = 0;

	(void)umask(022);
	if (runner < 0 || argc < 2) {
		(void)fprintf(stderr, "this is a runner: it wants a module to run\n");
		return 2;
	}
	if (runners[runner].prepares)
		r = prepare(&err);
	if (r == 0) {
		(void)execv(argv[1], argv + 1);
		(void)err_errno(&err,
				"run '%s' (the program, its interpreter or its libraries "
				"are not in the tree it runs in)",
				argv[1]);
	}
	(void)fprintf(stderr, "error: %s\n", err.message);
	return 1;
}
