/* SPDX-License-Identifier: Apache-2.0 */
#include "modkit/tool.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/process.h"
#include "modkit/command.h"
#include "modkit/root.h"

int64_t tool_epoch(const struct kit *kit)
{
	return kit->source_epoch >= 0 ? kit->source_epoch : TOOL_FALLBACK_EPOCH;
}

bool tool_is_there(const char *name)
{
	auto_free char *path = process_find(name);

	return path != NULL;
}

static void take_output(void *data, const char *bytes, size_t size)
{
	command_log(NULL, bytes, size);
	process_keep_tail(data, bytes, size);
}

/* Standard input as a file in memory, so that nobody has to feed a pipe. */
static int input_fd(const char *text, struct cop_error *err)
{
	auto_close int fd = memfd_create("input", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "make a memory file");
	r = fs_write_all(fd, text, strlen(text));
	if (r < 0)
		return err_code(err, r, "write a memory file");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind a memory file");
	return TAKE_FD(fd);
}

static void add_environment(struct kit *kit, const struct tool *tool, struct words *words)
{
	const char *path = getenv("PATH");

	words_printf(words, "PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
	words_add(words, "LC_ALL=C.UTF-8", "TZ=UTC0", "HOME=/", NULL);
	if (kit->source_epoch >= 0 && !tool->env)
		words_printf(words, "SOURCE_DATE_EPOCH=%lld",
			     (long long)kit->source_epoch);
	for (const char *const *more = tool->env; more && *more; more++)
		words_add(words, *more, NULL);
}

static int run(struct kit *kit, const struct tool *tool, const char *const *env,
	       struct buf *tail)
{
	auto_close int input = tool->input ? input_fd(tool->input, kit->err) : -EBADF;
	struct process_fd fds[2];
	struct process_options options = {
		.argv = tool->argv,
		.env = env,
		.fds = fds,
		.on_output = take_output,
		.data = tail,
	};
	char how[64], line[512];
	int status = 0, r;

	if (tool->input && input < 0)
		return input;
	if (tool->input)
		fds[options.n_fds++] = (struct process_fd){input, STDIN_FILENO};
	if (tool->output_fd > 0)
		fds[options.n_fds++] =
			(struct process_fd){tool->output_fd, STDOUT_FILENO};
	r = process_run(&options, &status, kit->err);
	if (r < 0 || status == 0)
		return r;
	(void)process_last_line(buf_text(tail), line, sizeof(line));
	return err_set(kit->err, -ECHILD, "'%s': %s%s%s", tool->argv[0],
		       process_describe(status, how, sizeof(how)), *line ? ": " : "",
		       line);
}

int tool_run(struct kit *kit, const struct tool *tool)
{
	auto_free const char **env = NULL;
	auto_words words = {};
	auto_buf tail = {};
	int r;

	add_environment(kit, tool, &words);
	r = words_list(&words, &env, kit->err);
	if (r == 0)
		r = tool->output ? process_check(tool->argv, env, tool->output, kit->err)
				 : run(kit, tool, env, &tail);
	if (r == -ENOENT)
		return err_set(kit->err, r,
			       "the build root has no program '%s': put the package '%s' "
			       "into the build pipeline, or install it here where there "
			       "is none",
			       tool->argv[0], tool->package);
	return r;
}

int tool_run_at_epoch(struct kit *kit, const struct words *words, const char *package)
{
	auto_free const char **argv = NULL;
	char epoch[48], fake[48];
	const char *env[] = {epoch, fake, NULL};
	int r = words_list(words, &argv, kit->err);

	if (r < 0)
		return r;
	(void)snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%lld",
		       (long long)tool_epoch(kit));
	/* For e2fsprogs before 1.47.1, to which 0 would mean the present. */
	(void)snprintf(fake, sizeof(fake), "E2FSPROGS_FAKE_TIME=%lld",
		       (long long)max_u64((uint64_t)tool_epoch(kit), 1));
	return tool_run(kit, &(struct tool){
				     .argv = argv,
				     .package = package,
				     .env = env,
			     });
}

int tool_target(struct kit *kit, const char *filename, int *ret_parent_fd,
		char **ret_path)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	char *path;

	parent = root_open_parent(kit->tree_fd, filename, name, kit->err);
	if (parent < 0)
		return parent;
	if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
		return err_errno(kit->err, "replace '%s'", filename);
	/* Our own fd, seen from the program. */
	if (asprintf(&path, "/proc/%d/fd/%d/%s", (int)getpid(), parent, name) < 0)
		return err_oom(kit->err);
	*ret_parent_fd = TAKE_FD(parent);
	*ret_path = path;
	return 0;
}
