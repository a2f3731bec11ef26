/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/command.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>

#include "base/process.h"
#include "base/text.h"
#include "modkit/root.h"

#define OURSELVES "/proc/self/exe"

static const char *const mount_points[] = {"proc", "sys", "dev", "run", "tmp"};

/* What package scripts see beside SOURCE_DATE_EPOCH; nothing of the caller's. */
static const char *const environment[] = {
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LC_ALL=C.UTF-8",
	"TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive",
	"DEBCONF_NONINTERACTIVE_SEEN=true",
};

void command_log(void *data, const char *bytes, size_t size)
{
	(void)data;
	(void)fwrite(bytes, 1, size, stdout);
	(void)fflush(stdout);
}

/* Return: a bit for each mount point that was made, or a negative errno. */
static int make_mount_points(struct kit *kit)
{
	int made = 0;

	for (size_t i = 0; i < ARRAY_SIZE(mount_points); i++) {
		if (mkdirat(kit->tree_fd, mount_points[i], 0755) == 0)
			made |= 1 << i;
		else if (errno != EEXIST)
			return err_errno(kit->err, "make directory '%s'",
					 mount_points[i]);
	}
	return made;
}

static void remove_mount_points(struct kit *kit, int made)
{
	for (size_t i = 0; i < ARRAY_SIZE(mount_points); i++)
		if (made & 1 << i)
			(void)unlinkat(kit->tree_fd, mount_points[i], AT_REMOVEDIR);
}

static int add_arguments(struct kit *kit, const struct command *command,
			 const char **argv)
{
	size_t n = 0;

	argv[n++] = OURSELVES;
	argv[n++] = COMMAND_INSIDE;
	argv[n++] = kit->tree_path;
	for (size_t i = 0; i < command->n_binds; i++) {
		argv[n++] = command->binds[i].source;
		argv[n++] = command->binds[i].target;
	}
	argv[n++] = "--";
	for (size_t i = 0; command->argv[i]; i++)
		argv[n++] = command->argv[i];
	argv[n] = NULL;
	return 0;
}

static int run_inside(struct kit *kit, const struct command *command, int *ret_status)
{
	const char *env[ARRAY_SIZE(environment) + 2] = {};
	size_t n = 0, n_env = ARRAY_SIZE(environment);
	auto_free const char **argv = NULL;
	char epoch[64];
	int r;

	while (command->argv[n])
		n++;
	argv = calloc(n + 2 * command->n_binds + 5, sizeof(*argv));
	if (!argv)
		return err_oom(kit->err);
	add_arguments(kit, command, argv);
	memcpy(env, environment, sizeof(environment));
	if (kit->source_epoch >= 0) {
		(void)snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%lld",
			       (long long)kit->source_epoch);
		env[n_env] = epoch;
	}
	r = process_run(
		&(struct process_options){
			.argv = argv,
			.env = env,
			.on_output =
				command->on_output ? command->on_output : command_log,
			.data = command->data,
		},
		ret_status, kit->err);
	return r < 0 ? err_prefix(kit->err, r, "in the tree '%s'", command->argv[0]) : 0;
}

int command_run(struct kit *kit, const struct command *command, int *ret_status)
{
	int made = make_mount_points(kit), r;

	if (made < 0)
		return made;
	r = run_inside(kit, command, ret_status);
	remove_mount_points(kit, made);
	return r;
}

static void keep_tail(void *data, const char *bytes, size_t size)
{
	command_log(NULL, bytes, size);
	process_keep_tail(data, bytes, size);
}

int command_check(struct kit *kit, const struct command *command)
{
	struct command kept = *command;
	char how[64], line[512];
	auto_buf tail = {};
	int status = 0, r;

	kept.on_output = keep_tail;
	kept.data = &tail;
	r = command_run(kit, &kept, &status);
	if (r < 0 || status == 0)
		return r;
	return err_set(kit->err, -ECHILD, "%s: %s",
		       process_describe(status, how, sizeof(how)),
		       process_last_line(buf_text(&tail), line, sizeof(line)));
}

/* The rest runs in the process between. */

static int mount_on(int tree_fd, const char *target, const char *source, const char *type,
		    unsigned long flags, const char *data, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	char path[64];

	/* O_PATH and /proc/self/fd: the tree's symlinks are resolved inside the tree. */
	fd = fs_open_in_root(tree_fd, target, O_PATH, 0, err);
	if (fd < 0)
		return fd;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (mount(source, path, type, flags, data) < 0)
		return err_errno(err, "mount on '%s' of the tree", target);
	return 0;
}

/* Only a second mount call can make a bind mount read-only, on the mount itself. */
static int bind_read_only(int tree_fd, const char *target, const char *source,
			  struct cop_error *err)
{
	unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
	struct statvfs st;
	int r = mount_on(tree_fd, target, source, NULL, MS_BIND | MS_REC, NULL, err);

	if (r < 0)
		return r;
	/* Where we are root in a user namespace only, noexec must not be taken back. */
	if (statvfs(source, &st) == 0 && st.f_flag & ST_NOEXEC)
		flags |= MS_NOEXEC;
	return mount_on(tree_fd, target, NULL, NULL, flags, NULL, err);
}

static int mount_system(int tree_fd, struct cop_error *err)
{
	struct stat st;
	int r;

	r = mount_on(tree_fd, "proc", "/proc", NULL, MS_BIND | MS_REC, NULL, err);
	if (r == 0)
		r = mount_on(tree_fd, "dev", "/dev", NULL, MS_BIND | MS_REC, NULL, err);
	if (r == 0)
		r = bind_read_only(tree_fd, "sys", "/sys", err);
	/* A host that was booted by EFI must not give another tree than one that was
	 * not. */
	if (r == 0 && root_stat(tree_fd, "sys/firmware", &st, NULL) == 0)
		r = mount_on(tree_fd, "sys/firmware", "tmpfs", "tmpfs",
			     MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0755", err);
	if (r == 0)
		r = mount_on(tree_fd, "run", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV,
			     "mode=0755", err);
	if (r == 0)
		r = mount_on(tree_fd, "tmp", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV,
			     "mode=1777", err);
	return r == 0 ? root_make_dirs(tree_fd, "run/lock", 01777, err) : r;
}

static int add_bind(int tree_fd, const char *source, const char *target,
		    struct cop_error *err)
{
	int r = 0;

	if (text_starts_with(target, "run/"))
		r = root_make_dirs(tree_fd, target, 0755, err);
	return r == 0 ? bind_read_only(tree_fd, target, source, err) : r;
}

static int enter(int tree_fd, struct cop_error *err)
{
	/* The host's name must not find its way into the tree. */
	if (sethostname("localhost", strlen("localhost")) < 0)
		return err_errno(err, "set the host name");
	if (fchdir(tree_fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_errno(err, "change the root to the tree");
	return 0;
}

static int prepare(int argc, char **argv, int *ret_program, struct cop_error *err)
{
	auto_close int tree_fd = -EBADF;
	int at = 1, r;

	/* Die with the stage, whatever kills it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0)
		return err_errno(err, "make a mount namespace for programs of the tree "
				      "(this needs CAP_SYS_ADMIN in the sandbox)");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "make mounts private");
	/* Opened here, since an fd from outside belongs to the other namespace. */
	tree_fd = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree_fd < 0)
		return err_errno(err, "open the tree '%s'", argv[0]);
	r = mount_system(tree_fd, err);
	for (; r == 0 && at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2)
		r = add_bind(tree_fd, argv[at], argv[at + 1], err);
	*ret_program = at + 1;
	return r == 0 ? enter(tree_fd, err) : r;
}

int command_inside(int argc, char **argv)
{
	struct cop_error err = {};
	int program = 0, r;

	if (argc < 3)
		r = err_set(&err, -EINVAL, "%s is for the stages themselves",
			    COMMAND_INSIDE);
	else
		r = prepare(argc, argv, &program, &err);
	if (r == 0 && program < argc) {
		(void)execvp(argv[program], argv + program);
		if (errno == ENOEXEC)
			(void)err_set(&err, -ENOEXEC,
				      "run '%s' of the tree: the tree is for another "
				      "architecture than this machine",
				      argv[program]);
		else
			(void)err_errno(&err, "run '%s' of the tree", argv[program]);
	}
	(void)fprintf(stderr, "%s\n", err.message);
	return 127;
}
