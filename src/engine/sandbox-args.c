/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage's sandbox and that of `coppice run` have in common. */
#include "engine/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/mutant.h"
#include "base/process.h"
#include "engine/engine.h"
#include "json/json.h"

#define STATUS_FD 10
#define FILTER_FD 11
/* bubblewrap hands a death by signal on as the shell does. */
#define SIGNAL_BASE 128

/* By number, as the kernel counts them. */
static const char *const capability_names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

#define CAP_SETPCAP   8
#define CAP_SYS_ADMIN 21

/* What osbuild lets a stage keep. */
static const char *const kept[] = {
	"CAP_AUDIT_WRITE",  "CAP_CHOWN",    "CAP_DAC_OVERRIDE",	    "CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",	    "CAP_FSETID",   "CAP_IPC_LOCK",	    "CAP_LINUX_IMMUTABLE",
	"CAP_MAC_OVERRIDE", "CAP_MKNOD",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
	"CAP_SETGID",	    "CAP_SETPCAP",  "CAP_SETUID",	    "CAP_SYS_ADMIN",
	"CAP_SYS_CHROOT",   "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
};

/* CapEff of this process; none when /proc does not say. */
static uint64_t owned_capabilities(void)
{
	auto_buf text = {};
	auto_close int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	const char *line;

	if (fd < 0 || fs_read_all(fd, 64 * KIB, &text, NULL) < 0)
		return 0;
	line = strstr(buf_text(&text), "\nCapEff:");
	return line ? strtoull(line + 8, NULL, 16) : 0;
}

/* Without CAP_SYS_ADMIN only a user namespace gives what the sandbox needs; in there, all
 * capabilities are ours. */
static bool needs_user_namespace(uint64_t owned)
{
	return !(owned & UINT64_C(1) << CAP_SYS_ADMIN) ||
	       !(owned & UINT64_C(1) << CAP_SETPCAP);
}

const char *sandbox_describe(void)
{
	if (geteuid() == 0 && !needs_user_namespace(owned_capabilities()))
		return NULL;
	return "not root: stages run in a user namespace, where every file belongs to one "
	       "user and devices cannot be made";
}

static bool is_wanted(const char *name, const json_t *more)
{
	const json_t *other;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kept); i++)
		if (strcmp(kept[i], name) == 0)
			return true;
	json_array_foreach (more, i, other)
		if (strcmp(json_string_value(other), name) == 0)
			return true;
	return false;
}

void sandbox_add_privileges(struct words *words, const json_t *more, unsigned int lacking)
{
	uint64_t owned = owned_capabilities();

	words_add(words, "--die-with-parent", NULL);
	if (!(lacking & SANDBOX_IPC))
		words_add(words, "--unshare-ipc", NULL);
	if (!(lacking & SANDBOX_PROCESSES))
		words_add(words, "--unshare-pid", NULL);
	if (!(lacking & SANDBOX_HOST_NAME))
		words_add(words, "--unshare-uts", "--hostname", "localhost", NULL);
	if (!(lacking & SANDBOX_NETWORK))
		words_add(words, "--unshare-net", NULL);
	if (geteuid() != 0 || needs_user_namespace(owned)) {
		words_add(words, "--unshare-user", "--uid", "0", "--gid", "0", NULL);
		owned = UINT64_MAX;
	}
	words_add(words, "--cap-drop", "ALL", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(capability_names); i++)
		if ((owned & UINT64_C(1) << i) && is_wanted(capability_names[i], more))
			words_add(words, "--cap-add", capability_names[i], NULL);
}

/* What bubblewrap printed last, for when the program inside never ran. */
struct last_words {
	const struct process_options *options;
	char text[512];
	size_t size;
};

static void keep_last(void *data, const char *bytes, size_t size)
{
	struct last_words *last = data;
	size_t room = sizeof(last->text) - 1;

	if (last->options->on_output)
		last->options->on_output(last->options->data, bytes, size);
	if (size >= room) {
		memcpy(last->text, bytes + size - room, room);
		last->size = room;
	} else {
		size_t keep = min_u64(last->size, room - size);

		memmove(last->text, last->text + last->size - keep, keep);
		memcpy(last->text + keep, bytes, size);
		last->size = keep + size;
	}
	last->text[last->size] = '\0';
}

static int serve(void *data, struct cop_error *err)
{
	const struct process_options *options = ((struct last_words *)data)->options;

	return options->serve(options->data, err);
}

/* bubblewrap says the same whether a program or what it needs to run is missing. */
static int never_ran(const char *line, struct cop_error *err)
{
	static const char start[] = "bwrap: execvp ";

	/* In the foreground its words went to the caller's terminal. */
	if (!*line)
		return err_set(err, -ENOEXEC,
			       "the command could not be started in the sandbox");
	if (strncmp(line, start, strlen(start)) == 0)
		return err_set(err, -ENOEXEC,
			       "start %s (the program, its interpreter or its libraries "
			       "are not in the tree it runs in)",
			       line + strlen(start));
	return err_set(err, -EPERM, "set up the sandbox: %s", line);
}

static int judge(int status_fd, int status, const struct last_words *last,
		 int *ret_status, struct cop_error *err)
{
	auto_buf report = {};
	char line[256];
	int r = fs_read_all(status_fd, 64 * KIB, &report, err), code;

	if (r < 0)
		return r;
	if (!strstr(buf_text(&report), "\"exit-code\"") && status != 0)
		return never_ran(
			last->size ? process_last_line(last->text, line, sizeof(line))
				   : "",
			err);
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	/* Wait status of a death by signal: its number. */
	*ret_status = code > SIGNAL_BASE && code <= SIGNAL_BASE + 64 ? code - SIGNAL_BASE
								     : status;
	return 0;
}

static int run_with_umask(const struct process_options *options, int *ret_status,
			  struct cop_error *err)
{
	/* Trees must not depend on the umask of whoever builds them. */
	mode_t old = umask(022);
	int r = process_run(options, ret_status, err);

	(void)umask(old);
	return r;
}

int sandbox_wait(const struct words *words, struct process_options *options,
		 int *ret_status, struct cop_error *err)
{
	auto_close int filter = sandbox_filter_fd(err), status_read = -EBADF,
		       status_write = -EBADF;
	struct last_words last = {.options = options};
	struct process_options inner = *options;
	auto_free struct process_fd *fds = NULL;
	auto_free const char **argv = NULL;
	auto_free char *guard = NULL;
	int pipe_fds[2], status = 0, r;

	if (filter < 0)
		return filter;
	r = engine_find_guard(&guard, err);
	if (r == 0)
		r = words_list(words, &argv, err);
	if (r < 0)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_errno(err, "make a pipe");
	status_read = pipe_fds[0];
	status_write = pipe_fds[1];
	fds = calloc(options->n_fds + 2, sizeof(*fds));
	if (!fds)
		return err_oom(err);
	if (options->n_fds > 0)
		memcpy(fds, options->fds, options->n_fds * sizeof(*fds));
	fds[options->n_fds] = (struct process_fd){status_write, STATUS_FD};
	fds[options->n_fds + 1] = (struct process_fd){filter, FILTER_FD};
	inner.argv = argv;
	inner.guard = mutant("guard") ? NULL : guard;
	inner.fds = fds;
	inner.n_fds = options->n_fds + 2;
	inner.on_output = keep_last;
	inner.serve = serve;
	inner.data = &last;
	r = run_with_umask(&inner, &status, err);
	if (r == -ENOENT)
		return err_set(err, r,
			       "the sandbox needs the program 'bwrap': install the "
			       "package 'bubblewrap'");
	if (r < 0)
		return r;
	closep(&status_write);
	status_write = -EBADF;
	return judge(status_read, status, &last, ret_status, err);
}
