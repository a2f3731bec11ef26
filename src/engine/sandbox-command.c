/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command with a tree as /, for people: the terminal is theirs, and nothing is made in
 * the tree that they did not ask for: what the tree has no place for is not mounted.
 */
#include "engine/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"
#include "engine/engine.h"

static bool has_directory(int tree_fd, const char *name)
{
	struct stat st;

	return fstatat(tree_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

static void add_system(struct words *words, int tree_fd)
{
	if (has_directory(tree_fd, "proc"))
		words_add(words, "--proc", "/proc", NULL);
	if (has_directory(tree_fd, "dev"))
		words_add(words, "--dev", "/dev", NULL);
	if (has_directory(tree_fd, "sys"))
		words_add(words, "--ro-bind", "/sys", "/sys", NULL);
	if (has_directory(tree_fd, "run"))
		words_add(words, "--tmpfs", "/run", NULL);
	if (has_directory(tree_fd, "tmp"))
		words_add(words, "--perms", "1777", "--tmpfs", "/tmp", NULL);
}

/* The caller's name servers, where the tree looks for them. */
static void add_resolver(struct words *words, int tree_fd)
{
	static const char *const places[] = {"/etc/resolv.conf",
					     "/run/systemd/resolve/stub-resolv.conf",
					     "/run/systemd/resolve/resolv.conf"};
	char target[256];
	struct stat st;
	ssize_t n;

	if (fstatat(tree_fd, "etc/resolv.conf", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		words_add(words, "--ro-bind-try", places[0], places[0], NULL);
		return;
	}
	n = readlinkat(tree_fd, "etc/resolv.conf", target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	for (size_t i = 1; i < ARRAY_SIZE(places); i++)
		if (strcmp(target, places[i]) == 0 ||
		    (strncmp(target, "..", 2) == 0 && strcmp(target + 2, places[i]) == 0))
			words_add(words, "--ro-bind-try", places[0], places[i], NULL);
}

static int add_binds(struct words *words, const char *const *binds, struct cop_error *err)
{
	for (; binds && *binds; binds++) {
		const char *colon = strrchr(*binds, ':');

		if (!colon || colon == *binds || colon[1] != '/')
			return err_set(err, -EINVAL,
				       "bind '%s': must be SOURCE:/ABSOLUTE/TARGET",
				       *binds);
		words_add(words, "--bind", NULL);
		words_printf(words, "%.*s", (int)(colon - *binds), *binds);
		words_add(words, colon + 1, NULL);
	}
	return 0;
}

static const char *shell_of(int tree_fd)
{
	static const char *const shells[] = {"/bin/bash", "/usr/bin/bash", "/bin/sh",
					     "/usr/bin/sh"};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		auto_close int fd =
			fs_open_in_root(tree_fd, shells[i] + 1, O_PATH, 0, NULL);

		if (fd >= 0)
			return shells[i];
	}
	return NULL;
}

static int add_command(struct words *words, int tree_fd, const char *const *argv,
		       struct cop_error *err)
{
	const char *shell;

	words_add(words, "--chdir", "/", "--json-status-fd", "10", "--seccomp", "11",
		  "--", NULL);
	if (argv && *argv) {
		for (; *argv; argv++)
			words_add(words, *argv, NULL);
		return 0;
	}
	shell = shell_of(tree_fd);
	if (!shell)
		return err_set(err, -ENOENT, "the tree has no shell: name a command");
	words_add(words, shell, NULL);
	return 0;
}

static int make_words(struct words *words, const char *tree_path, const char *const *argv,
		      bool network, const char *const *binds, struct cop_error *err)
{
	auto_close int tree_fd = open(tree_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (tree_fd < 0)
		return err_errno(err, "open '%s'", tree_path);
	words_add(words, "bwrap", NULL);
	sandbox_add_privileges(words, NULL, network ? SANDBOX_NETWORK : 0);
	words_add(words, "--bind", tree_path, "/", NULL);
	add_system(words, tree_fd);
	if (network)
		add_resolver(words, tree_fd);
	r = add_binds(words, binds, err);
	return r < 0 ? r : add_command(words, tree_fd, argv, err);
}

int engine_run_command(const char *tree_path, const char *const *argv, bool network,
		       const char *const *binds, int *ret_status, struct cop_error *err)
{
	static const struct process_fd terminal[] = {{0, 0}, {1, 1}, {2, 2}};
	struct process_options options = {
		.fds = terminal,
		.n_fds = ARRAY_SIZE(terminal),
		.foreground = true,
	};
	auto_words words = {}, environment = {};
	auto_free const char **env = NULL;
	const char *term = getenv("TERM");
	int r = make_words(&words, tree_path, argv, network, binds, err);

	if (r < 0)
		return r;
	words_add(&environment, "container=bwrap-osbuild", "LC_ALL=C.UTF-8",
		  "LANG=C.UTF-8", "HOME=/root", "USER=root", "LOGNAME=root",
		  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		  NULL);
	words_printf(&environment, "TERM=%s", term ? term : "dumb");
	r = words_list(&environment, &env, err);
	if (r < 0)
		return r;
	options.env = env;
	return sandbox_wait(&words, &options, ret_status, err);
}
