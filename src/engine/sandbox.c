/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"

#define PASSWD_FD  12
#define GROUP_FD   13
#define SECRETS_FD 14

/* Enough for tools that look up who they are; nothing of the host's. */
static const char passwd_text[] = "root:x:0:0:root:/root:/bin/sh\n"
				  "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n";
static const char group_text[] = "root:x:0:\nnogroup:x:65534:\n";

static bool is_directory(const char *root, const char *path)
{
	auto_free char *full = NULL;
	struct stat st;

	if (asprintf(&full, "%s/%s", root, path) < 0) {
		full = NULL;
		return false;
	}
	return lstat(full, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *root_prefix(const struct sandbox *sandbox)
{
	return strcmp(sandbox->root, "/") == 0 ? "" : sandbox->root;
}

static void add_bind(struct words *words, const char *how, const char *prefix,
		     const char *path, const char *target)
{
	words_add(words, how, NULL);
	words_printf(words, "%s%s", prefix, path);
	words_add(words, target, NULL);
}

/* Modules of ours run as they are; others behind a runner, where there is one. */
static bool needs_runner(const struct sandbox *sandbox)
{
	return sandbox->runner && !module_is_ours(sandbox->module);
}

/* A runner that is not ours makes everything in /etc itself, and trips over what is there
 * already. */
static bool has_foreign_runner(const struct sandbox *sandbox)
{
	return needs_runner(sandbox) && !module_is_ours(sandbox->runner);
}

static void add_etc(struct words *words, const struct sandbox *sandbox)
{
	static const char *const always[] = {"/etc/mke2fs.conf", "/etc/containers",
					     "/etc/selinux", "/ostree"};
	static const char *const ours[] = {"/etc/alternatives", "/etc/ld.so.cache",
					   "/etc/ld.so.conf", "/etc/ld.so.conf.d"};
	const char *prefix = root_prefix(sandbox);

	words_add(words, "--dir", "/etc", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		add_bind(words, "--ro-bind-try", prefix, always[i], always[i]);
	if (has_foreign_runner(sandbox))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		add_bind(words, "--ro-bind-try", prefix, ours[i], ours[i]);
	words_add(words, "--file", NULL);
	words_printf(words, "%d", PASSWD_FD);
	words_add(words, "/etc/passwd", "--file", NULL);
	words_printf(words, "%d", GROUP_FD);
	words_add(words, "/etc/group", NULL);
}

/* The tools: read-only, from the build tree or the host. */
static void add_root(struct words *words, const struct sandbox *sandbox)
{
	static const char *const merged[] = {"lib",    "lib32", "lib64",
					     "libx32", "bin",	"sbin"};
	const char *prefix = root_prefix(sandbox);

	if (*prefix && is_directory(prefix, "boot"))
		add_bind(words, "--ro-bind", prefix, "/boot", "/boot");
	if (is_directory(sandbox->root, "usr"))
		add_bind(words, "--ro-bind", prefix, "/usr", "/usr");
	for (size_t i = 0; i < ARRAY_SIZE(merged); i++) {
		words_add(words, "--symlink", NULL);
		words_printf(words, "usr/%s", merged[i]);
		words_printf(words, "/%s", merged[i]);
	}
	add_etc(words, sandbox);
}

/* Where we could not make /dev ourselves bubblewrap's own must do: null zero full random
 * urandom tty, fd, stdin, stdout, stderr, pts, ptmx, shm. */
static void add_system(struct words *words, const struct sandbox *sandbox)
{
	if (sandbox->has_dev)
		add_bind(words, "--dev-bind", sandbox->work, "/dev", "/dev");
	else
		words_add(words, "--dev", "/dev", NULL);
	words_add(words, "--tmpfs", "/dev/shm", "--tmpfs", "/run", "--tmpfs", "/tmp",
		  NULL);
	add_bind(words, "--bind", sandbox->work, "/var", "/var");
	if (sandbox->lacking & SANDBOX_PROCESSES)
		words_add(words, "--ro-bind", "/proc", "/proc", NULL);
	else
		words_add(words, "--proc", "/proc", NULL);
	words_add(words, "--ro-bind", "/sys", "/sys", "--ro-bind-try", "/sys/fs/selinux",
		  "/sys/fs/selinux", NULL);
	add_bind(words, "--ro-bind", sandbox->work, "/cmdline", "/proc/cmdline");
}

enum package { PACKAGE_MISSING, PACKAGE_EMPTY, PACKAGE_THERE };

/* Python modules want LIBDIR/osbuild; an empty one stands for the installed package. */
static enum package find_package(const char *libdir)
{
	auto_close int top = open(libdir, O_PATH | O_DIRECTORY | O_CLOEXEC), dir = -EBADF;
	enum package found = PACKAGE_MISSING;
	char **names = NULL;
	size_t n_names = 0;

	if (top >= 0)
		dir = openat(top, "osbuild", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && fs_list(dir, &names, &n_names, NULL) == 0)
		found = n_names ? PACKAGE_THERE : PACKAGE_EMPTY;
	fs_list_free(names);
	return found;
}

static void add_installed_package(struct words *words)
{
	static const char *const places[] = {
		"/usr/lib/python3/dist-packages/osbuild",
		"/usr/lib/python3*/site-packages/osbuild",
		"/usr/local/lib/python3*/*-packages/osbuild",
	};
	glob_t found = {};

	for (size_t i = 0; i < ARRAY_SIZE(places) && found.gl_pathc == 0; i++)
		(void)glob(places[i], GLOB_ONLYDIR, NULL, &found);
	if (found.gl_pathc > 0)
		words_add(words, "--ro-bind", found.gl_pathv[0],
			  "/run/osbuild/lib/osbuild", NULL);
	globfree(&found);
}

/* What lies below @top on the host is at @inside in the sandbox: if the store does, cover
 * it. */
static void hide_store(struct words *words, const char *store, const char *top,
		       const char *inside)
{
	size_t length = strlen(top);

	if (strncmp(store, top, length) != 0 || store[length] != '/')
		return;
	words_add(words, "--tmpfs", NULL);
	words_printf(words, "%s%s", inside, store + length);
}

/* The library is that of the module; one of ours has none, and its runner's is taken. */
static void add_library(struct words *words, const struct sandbox *sandbox)
{
	auto_free char *store = realpath(sandbox->store, NULL);
	const char *libdir = sandbox->module->libdir;
	enum package package = find_package(libdir);

	if (package == PACKAGE_MISSING && needs_runner(sandbox) &&
	    find_package(sandbox->runner->libdir) != PACKAGE_MISSING) {
		libdir = sandbox->runner->libdir;
		package = find_package(libdir);
	}
	words_add(words, "--ro-bind", libdir, "/run/osbuild/lib", NULL);
	if (package == PACKAGE_EMPTY)
		add_installed_package(words);
	if (!store)
		return;
	hide_store(words, store, libdir, "/run/osbuild/lib");
	if (strcmp(sandbox->root, "/") == 0)
		hide_store(words, store, "/usr", "/usr");
}

static void add_interface(struct words *words, const struct sandbox *sandbox)
{
	add_library(words, sandbox);
	words_add(words, "--bind", sandbox->tree, "/run/osbuild/tree", NULL);
	add_bind(words, "--bind", sandbox->work, "/meta", "/run/osbuild/meta");
	words_add(words, "--ro-bind", sandbox->module->path, NULL);
	words_printf(words, "/run/osbuild/bin/%s", sandbox->module->name);
	add_bind(words, "--bind", sandbox->work, "/mounts", "/run/osbuild/mounts");
	add_bind(words, "--ro-bind", sandbox->work, "/inputs", "/run/osbuild/inputs");
	for (size_t i = 0; i < sandbox->n_binds; i++)
		words_add(words, "--ro-bind", sandbox->binds[i].source,
			  sandbox->binds[i].target, NULL);
	if (sandbox->secrets) {
		words_add(words, "--perms", "0400", "--ro-bind-data", NULL);
		words_printf(words, "%d", SECRETS_FD);
		words_add(words, "/run/osbuild/secrets", NULL);
	}
	add_bind(words, "--ro-bind", sandbox->work, "/api/arguments",
		 "/run/osbuild/api/arguments");
	add_bind(words, "--bind", sandbox->work, "/api/osbuild",
		 "/run/osbuild/api/osbuild");
	if (sandbox->has_dev)
		add_bind(words, "--bind", sandbox->work, "/api/remoteloop",
			 "/run/osbuild/api/remoteloop");
	if (needs_runner(sandbox)) {
		words_add(words, "--ro-bind", sandbox->runner->path, NULL);
		words_printf(words, "/run/osbuild/runner/%s", sandbox->runner->name);
	}
	words_add(words, "--chdir", "/", "--json-status-fd", "10", NULL);
	if (!(sandbox->lacking & SANDBOX_FILTER))
		words_add(words, "--seccomp", "11", NULL);
	words_add(words, "--", NULL);
}

static void add_program(struct words *words, const struct sandbox *sandbox)
{
	if (needs_runner(sandbox))
		words_printf(words, "/run/osbuild/runner/%s", sandbox->runner->name);
	words_printf(words, "/run/osbuild/bin/%s", sandbox->module->name);
}

/* The environment is osbuild's, to the letter. */
static void add_environment(struct words *words, const struct sandbox *sandbox)
{
	const char *term = getenv("TERM");

	words_add(words, "container=bwrap-osbuild", "LC_CTYPE=C.UTF-8",
		  "PATH=/usr/sbin:/usr/bin", "PYTHONPATH=/run/osbuild/lib",
		  "PYTHONUNBUFFERED=1", NULL);
	words_printf(words, "TERM=%s", term ? term : "dumb");
	if (sandbox->epoch)
		words_printf(words, "SOURCE_DATE_EPOCH=%lld", (long long)*sandbox->epoch);
}

int sandbox_data_fd(const void *data, size_t size, struct cop_error *err)
{
	auto_close int fd = memfd_create("coppice-data", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "make a memory file");
	r = fs_write_all(fd, data, size);
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, r < 0 ? r : -EIO, "write a memory file");
	return TAKE_FD(fd);
}

static int text_fd(const char *text, struct cop_error *err)
{
	return sandbox_data_fd(text, strlen(text), err);
}

/* Only in memory, here and in the sandbox; -EBADF without any. */
static int secrets_fd(const struct sandbox *sandbox, struct cop_error *err)
{
	return sandbox->secrets ? sandbox_data_fd(sandbox->secrets->data,
						  sandbox->secrets->size, err)
				: -EBADF;
}

static int run(const struct sandbox *sandbox, bool is_shell,
	       struct process_options *options, int *ret_status, struct cop_error *err)
{
	auto_words words = {}, environment = {};
	auto_free const char **env = NULL;
	int r;

	words_add(&words, "bwrap", is_shell ? NULL : "--new-session", NULL);
	sandbox_add_privileges(&words, module_capabilities(sandbox->module),
			       sandbox->lacking);
	add_root(&words, sandbox);
	add_system(&words, sandbox);
	add_interface(&words, sandbox);
	if (is_shell)
		words_add(&words, "/bin/bash", NULL);
	else
		add_program(&words, sandbox);
	add_environment(&environment, sandbox);
	r = words_list(&environment, &env, err);
	if (r < 0)
		return r;
	options->env = env;
	return sandbox_wait(&words, options, ret_status, err);
}

int sandbox_run(const struct sandbox *sandbox, int *ret_status, struct cop_error *err)
{
	auto_close int passwd = text_fd(passwd_text, err),
		       group = text_fd(group_text, err),
		       secrets = secrets_fd(sandbox, err);
	const struct process_fd fds[] = {
		{passwd, PASSWD_FD}, {group, GROUP_FD}, {secrets, SECRETS_FD}};
	struct process_options options = {
		.fds = fds,
		.n_fds = sandbox->secrets ? 3 : 2,
		.on_output = sandbox->on_output,
		.data = sandbox->data,
		.cancel_fd = sandbox->cancel_fd,
		.timeout_ms = sandbox->timeout_ms,
		.serve_fd = sandbox->serve_fd,
		.serve = sandbox->serve,
	};

	if (passwd < 0 || group < 0)
		return passwd < 0 ? passwd : group;
	if (sandbox->secrets && secrets < 0)
		return secrets;
	return run(sandbox, false, &options, ret_status, err);
}

int sandbox_shell(const struct sandbox *sandbox, int *ret_status, struct cop_error *err)
{
	auto_close int passwd = text_fd(passwd_text, err),
		       group = text_fd(group_text, err),
		       secrets = secrets_fd(sandbox, err);
	const struct process_fd fds[] = {{0, 0},
					 {1, 1},
					 {2, 2},
					 {passwd, PASSWD_FD},
					 {group, GROUP_FD},
					 {secrets, SECRETS_FD}};
	struct process_options options = {
		.fds = fds,
		.n_fds = sandbox->secrets ? 6 : 5,
		.foreground = true,
		.cancel_fd = sandbox->cancel_fd,
	};

	if (passwd < 0 || group < 0)
		return passwd < 0 ? passwd : group;
	if (sandbox->secrets && secrets < 0)
		return secrets;
	return run(sandbox, true, &options, ret_status, err);
}
