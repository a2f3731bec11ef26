/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"

#define PASSWD_FD 12
#define GROUP_FD  13

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

/* The tools: read-only, from the build tree or the host. */
static void add_root(struct words *words, const struct sandbox *sandbox)
{
	static const char *const merged[] = {"lib",    "lib32", "lib64",
					     "libx32", "bin",	"sbin"};
	static const char *const etc[] = {
		"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf",
		"/etc/ld.so.conf.d", "/etc/mke2fs.conf", "/etc/containers",
		"/etc/selinux",	     "/ostree",
	};
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
	words_add(words, "--dir", "/etc", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(etc); i++)
		add_bind(words, "--ro-bind-try", prefix, etc[i], etc[i]);
	words_add(words, "--file", NULL);
	words_printf(words, "%d", PASSWD_FD);
	words_add(words, "/etc/passwd", "--file", NULL);
	words_printf(words, "%d", GROUP_FD);
	words_add(words, "/etc/group", NULL);
}

/* bubblewrap's own /dev: null zero full random urandom tty, fd, stdin, stdout, stderr,
 * pts, ptmx, shm. */
static void add_system(struct words *words, const struct sandbox *sandbox)
{
	words_add(words, "--dev", "/dev", "--tmpfs", "/dev/shm", "--tmpfs", "/run",
		  "--tmpfs", "/tmp", NULL);
	add_bind(words, "--bind", sandbox->work, "/var", "/var");
	words_add(words, "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--ro-bind-try",
		  "/sys/fs/selinux", "/sys/fs/selinux", NULL);
	add_bind(words, "--ro-bind", sandbox->work, "/cmdline", "/proc/cmdline");
}

static void add_interface(struct words *words, const struct sandbox *sandbox)
{
	words_add(words, "--ro-bind", sandbox->libdir, "/run/osbuild/lib", "--bind",
		  sandbox->tree, "/run/osbuild/tree", NULL);
	add_bind(words, "--bind", sandbox->work, "/meta", "/run/osbuild/meta");
	words_add(words, "--ro-bind", sandbox->module, NULL);
	words_printf(words, "/run/osbuild/bin/%s", sandbox->name);
	add_bind(words, "--bind", sandbox->work, "/mounts", "/run/osbuild/mounts");
	add_bind(words, "--ro-bind", sandbox->work, "/inputs", "/run/osbuild/inputs");
	for (size_t i = 0; i < sandbox->n_binds; i++)
		words_add(words, "--ro-bind", sandbox->binds[i].source,
			  sandbox->binds[i].target, NULL);
	add_bind(words, "--ro-bind", sandbox->work, "/api/arguments",
		 "/run/osbuild/api/arguments");
	add_bind(words, "--bind", sandbox->work, "/api/osbuild",
		 "/run/osbuild/api/osbuild");
	words_add(words, "--chdir", "/", "--json-status-fd", "10", "--seccomp", "11",
		  "--", NULL);
	words_printf(words, "/run/osbuild/bin/%s", sandbox->name);
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

static int text_fd(const char *text, struct cop_error *err)
{
	auto_close int fd = memfd_create("coppice-text", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "make a memory file");
	r = fs_write_all(fd, text, strlen(text));
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, r < 0 ? r : -EIO, "write a memory file");
	return TAKE_FD(fd);
}

int sandbox_run(const struct sandbox *sandbox, int *ret_status, struct cop_error *err)
{
	auto_close int passwd = text_fd(passwd_text, err),
		       group = text_fd(group_text, err);
	const struct process_fd fds[] = {{passwd, PASSWD_FD}, {group, GROUP_FD}};
	auto_words words = {}, environment = {};
	auto_free const char **env = NULL;
	struct process_options options = {
		.fds = fds,
		.n_fds = ARRAY_SIZE(fds),
		.on_output = sandbox->on_output,
		.data = sandbox->data,
		.cancel_fd = sandbox->cancel_fd,
	};
	int r;

	if (passwd < 0 || group < 0)
		return passwd < 0 ? passwd : group;
	words_add(&words, "bwrap", "--new-session", NULL);
	sandbox_add_privileges(&words, sandbox->capabilities, false);
	add_root(&words, sandbox);
	add_system(&words, sandbox);
	add_interface(&words, sandbox);
	add_environment(&environment, sandbox);
	r = words_list(&environment, &env, err);
	if (r < 0)
		return r;
	options.env = env;
	return sandbox_wait(&words, &options, ret_status, err);
}
