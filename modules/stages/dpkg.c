/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/dpkg.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/process.h"
#include "base/text.h"
#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/leftovers.h"

#define POLICY	   "usr/sbin/policy-rc.d"
#define STATUS_MAX (64 * MIB)
#define LINE_MAX_  1024
/* How much of a script's output is told when it fails. */
#define WORDS_MAX 600

static const char policy_text[] = "#!/bin/sh\n"
				  "# No service starts while an image is built.\n"
				  "exit 101\n";

/* Reads dpkg's output along: which package is at work, what was said since then, and
 * which one failed first. */
struct watch {
	char line[LINE_MAX_];
	size_t line_size;
	struct buf words;	/* since the last package began */
	char failed[LINE_MAX_]; /* package or archive, empty while all is well */
	char failed_words[WORDS_MAX + 1];
	char reason[LINE_MAX_]; /* what dpkg says of it, in the line after */
};

static bool begins_package(const char *line)
{
	return text_starts_with(line, "Setting up ") ||
	       text_starts_with(line, "Unpacking ") ||
	       text_starts_with(line, "Preparing to unpack ") ||
	       text_starts_with(line, "Processing triggers for ");
}

/* "dpkg: error processing package NAME (--configure):" */
static bool failed_package(const char *line, char name[LINE_MAX_])
{
	static const char *const starts[] = {"dpkg: error processing package ",
					     "dpkg: error processing archive "};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		const char *end, *slash;

		if (!text_starts_with(line, starts[i]))
			continue;
		line += strlen(starts[i]);
		end = strstr(line, " (-");
		if (!end)
			end = line + strlen(line);
		(void)snprintf(name, LINE_MAX_, "%.*s", (int)(end - line), line);
		slash = strrchr(name, '/');
		if (slash)
			memmove(name, slash + 1, strlen(slash));
		return true;
	}
	return false;
}

/* The last lines that fit, on one line. */
static void keep_words(struct watch *watch)
{
	const char *text = buf_text(&watch->words);
	size_t size = watch->words.size, n = 0;

	if (size > WORDS_MAX)
		text += size - WORDS_MAX;
	for (; *text; text++) {
		bool newline = *text == '\n';

		if (newline && (n == 0 || !text[1]))
			continue;
		if (newline && n + 2 < WORDS_MAX)
			watch->failed_words[n++] = ';';
		if (n < WORDS_MAX)
			watch->failed_words[n++] = newline ? ' ' : *text;
	}
	watch->failed_words[n] = '\0';
}

static void take_line(struct watch *watch)
{
	watch->line[watch->line_size] = '\0';
	watch->line_size = 0;
	if (watch->failed[0] && !watch->reason[0])
		(void)strcpy(watch->reason, watch->line + strspn(watch->line, " "));
	if (!watch->failed[0] && failed_package(watch->line, watch->failed)) {
		keep_words(watch);
		return;
	}
	if (begins_package(watch->line)) {
		buf_truncate(&watch->words, 0);
		return;
	}
	if (watch->words.size > (size_t)(64 * KIB)) {
		size_t kept = 4096;

		memmove(watch->words.data, watch->words.data + watch->words.size - kept,
			kept);
		buf_truncate(&watch->words, kept);
	}
	(void)buf_printf(&watch->words, "%s\n", watch->line);
}

static void watch_output(void *data, const char *bytes, size_t size)
{
	struct watch *watch = data;

	command_log(NULL, bytes, size);
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n')
			take_line(watch);
		else if (watch->line_size + 1 < sizeof(watch->line) && bytes[i])
			watch->line[watch->line_size++] = bytes[i];
	}
}

static int tell_failure(struct kit *kit, struct watch *watch, int status)
{
	char how[64], line[512];

	if (watch->line_size)
		take_line(watch);
	if (!watch->failed[0])
		return err_set(
			kit->err, -ECHILD, "dpkg in the tree: %s: %s",
			process_describe(status, how, sizeof(how)),
			process_last_line(buf_text(&watch->words), line, sizeof(line)));
	return err_set(kit->err, -ECHILD, "package '%s' failed: %s%s%s", watch->failed,
		       watch->failed_words, watch->failed_words[0] ? "; " : "",
		       watch->reason);
}

static int run_watched(struct kit *kit, const char *const *arguments,
		       const struct command_bind *binds, size_t n_binds)
{
	static const char *const always[] = {
		"dpkg",
		"--log=/dev/null",
		"--force-confdef",
		"--force-confold",
		"--force-unsafe-io",
		"--abort-after=1",
	};
	struct watch watch = {};
	auto_free const char **argv = NULL;
	size_t n = 0;
	int status = 0, r;

	while (arguments[n])
		n++;
	argv = calloc(ARRAY_SIZE(always) + n + 1, sizeof(*argv));
	if (!argv)
		return err_oom(kit->err);
	memcpy(argv, always, sizeof(always));
	memcpy(argv + ARRAY_SIZE(always), arguments, n * sizeof(*argv));
	r = command_run(kit,
			&(struct command){
				.argv = argv,
				.binds = binds,
				.n_binds = n_binds,
				.on_output = watch_output,
				.data = &watch,
			},
			&status);
	if (r == 0 && status != 0)
		r = tell_failure(kit, &watch, status);
	buf_done(&watch.words);
	return r;
}

/* What keeps services from starting while packages are configured. */
struct policy {
	char cover[64];	  /* our script, mounted over the tree's own; empty: none there */
	struct stat ours; /* the file that was made, when the tree had none */
	bool made;
};

static int policy_begin(struct kit *kit, struct policy *policy)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	struct stat st;
	int r = root_stat(kit->tree_fd, POLICY, &st, NULL);

	if (r < 0 && r != -ENOENT)
		return err_code(kit->err, r, "stat '%s'", POLICY);
	if (r == 0) {
		(void)strcpy(policy->cover, "/tmp/policy-rc.d-XXXXXX");
		auto_close int fd = mkostemp(policy->cover, O_CLOEXEC);

		if (fd < 0 || fchmod(fd, 0755) < 0 ||
		    fs_write_all(fd, policy_text, strlen(policy_text)) < 0)
			return err_errno(kit->err, "write '%s'", policy->cover);
		return 0;
	}
	r = root_make_dirs(kit->tree_fd, "usr/sbin", 0755, kit->err);
	if (r < 0)
		return r;
	parent = root_open_parent(kit->tree_fd, POLICY, name, kit->err);
	if (parent < 0)
		return parent;
	r = fs_write_new(parent, name, policy_text, strlen(policy_text), 0755, kit->err);
	if (r < 0)
		return r;
	policy->made = true;
	return root_stat(kit->tree_fd, POLICY, &policy->ours, kit->err);
}

static void policy_end(struct kit *kit, struct policy *policy)
{
	auto_close int parent = -EBADF;
	char name[NAME_MAX + 1];
	struct stat st;

	if (policy->cover[0])
		(void)unlink(policy->cover);
	if (!policy->made || root_stat(kit->tree_fd, POLICY, &st, NULL) < 0)
		return;
	/* A package may have put its own in place meanwhile. */
	if (st.st_dev != policy->ours.st_dev || st.st_ino != policy->ours.st_ino)
		return;
	parent = root_open_parent(kit->tree_fd, POLICY, name, NULL);
	if (parent >= 0)
		(void)unlinkat(parent, name, 0);
}

static int run_quietly(struct kit *kit, const char *const *arguments,
		       const struct command_bind *binds, size_t n_binds)
{
	auto_free struct command_bind *all = calloc(n_binds + 1, sizeof(*all));
	struct policy policy = {};
	int r;

	if (!all)
		return err_oom(kit->err);
	if (n_binds)
		memcpy(all, binds, n_binds * sizeof(*all));
	r = policy_begin(kit, &policy);
	if (policy.cover[0])
		all[n_binds++] = (struct command_bind){policy.cover, POLICY};
	if (r == 0)
		r = run_watched(kit, arguments, all, n_binds);
	policy_end(kit, &policy);
	return r;
}

int dpkg_run(struct kit *kit, const char *const *arguments,
	     const struct command_bind *binds, size_t n_binds)
{
	auto_ptr(leftovers) before = NULL;
	int r = leftovers_note(kit->tree_fd, &before, kit->err);

	if (r == 0)
		r = run_quietly(kit, arguments, binds, n_binds);
	if (r == 0)
		r = leftovers_remove(kit->tree_fd, before, kit->err);
	return r;
}

/* NULL: as it should be; else what is wrong. */
static const char *complaint(const struct stanza *stanza)
{
	struct stanza status, want = {"", 0}, flag = {"", 0}, state = {"", 0}, unused;

	if (!stanza_get(stanza, "Status", &status))
		return "has no status";
	(void)word_next(&status, &want);
	(void)word_next(&status, &flag);
	(void)word_next(&status, &state);
	/* Packages that are gone, and are meant to be, are no matter. */
	if ((state.size == 12 && memcmp(state.text, "config-files", 12) == 0) ||
	    (state.size == 13 && memcmp(state.text, "not-installed", 13) == 0))
		return want.size == 7 && memcmp(want.text, "install", 7) == 0
			       ? "is not installed"
			       : NULL;
	if (flag.size != 2 || memcmp(flag.text, "ok", 2) != 0)
		return "needs to be installed again";
	if (stanza_get(stanza, "Triggers-Pending", &unused) ||
	    stanza_get(stanza, "Triggers-Awaited", &unused))
		return "still has triggers to process";
	if (state.size != 9 || memcmp(state.text, "installed", 9) != 0)
		return "is not configured";
	return NULL;
}

static int check_stanza(const struct stanza *stanza, struct map *installed,
			struct cop_error *err)
{
	const char *problem = complaint(stanza);
	struct stanza name = {"?", 1}, status = {"", 0};
	void **slot;

	(void)stanza_get(stanza, "Package", &name);
	(void)stanza_get(stanza, "Status", &status);
	if (problem)
		return err_set(err, -EBADMSG, "package '%.*s' %s (status: %.*s)",
			       (int)name.size, name.text, problem, (int)status.size,
			       status.text);
	slot = map_slot(installed, name.text, name.size);
	if (!slot)
		return err_oom(err);
	*slot = installed;
	return 0;
}

int dpkg_check(struct kit *kit, const json_t *packages)
{
	auto_ptr(map) installed = map_new();
	auto_buf text = {};
	struct stanza stanza;
	const char *at;
	int r;

	if (!installed)
		return err_oom(kit->err);
	r = root_read(kit->tree_fd, DPKG_STATUS, STATUS_MAX, &text, kit->err);
	at = buf_text(&text);
	while (r == 0 && stanza_next(&at, &stanza))
		r = check_stanza(&stanza, installed, kit->err);
	for (size_t i = 0; r == 0 && i < json_array_size(packages); i++) {
		const char *name = json_string_value(json_array_get(packages, i));

		if (!map_get(installed, name, strlen(name)))
			r = err_set(
				kit->err, -EBADMSG,
				"package '%s' is not installed: it was never unpacked",
				name);
	}
	return r;
}
