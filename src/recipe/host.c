/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host's apt knows about the way to the archive.  Values are handed from apt to
 * apt; only the kind of a setting is ever told.  What would weaken verification is never
 * taken over.
 */
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "recipe/apt.h"
#include "recipe/check.h"

#define MIRRORS_MAX 32

struct kinds {
	bool proxy, certificate, credentials, other;
};

/* Settings below Acquire:: that belong to our own configuration, or that decide what is
 * believed. */
static bool is_ours(const char *key)
{
	static const char *const names[] = {"AllowInsecureRepositories",
					    "AllowWeakRepositories",
					    "AllowDowngradeToInsecureRepositories",
					    "AllowReleaseInfoChange",
					    "Check-Valid-Until",
					    "Check-Date",
					    "Max-ValidTime",
					    "Min-ValidTime",
					    "Max-FutureTime",
					    "ForceHash",
					    "IndexTargets",
					    "Languages",
					    "Changelogs",
					    "CompressionTypes",
					    "GzipIndexes",
					    "cdrom",
					    "PDiffs",
					    "By-Hash",
					    "gpgv",
					    "Snapshots"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t length = strlen(names[i]);

		if (strncasecmp(key, names[i], length) == 0 &&
		    (key[length] == ':' || key[length] == ' '))
			return true;
	}
	return strcasestr(key, "insecure") || strcasestr(key, "trusted") ||
	       strcasestr(key, "unauthenticated");
}

static void sort_kind(const char *key, struct kinds *kinds)
{
	static const char *const certificates[] = {"CAInfo", "CAPath", "SslCert",
						   "SslKey", "Issuer", "CrlFile",
						   "Verify", "CA-File"};

	if (strcasestr(key, "proxy")) {
		kinds->proxy = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(certificates); i++)
		if (strcasestr(key, certificates[i])) {
			kinds->certificate = true;
			return;
		}
	kinds->other = true;
}

/* `apt-config dump` prints what apt.conf takes: NAME "VALUE"; */
static void take_line(const char *line, struct buf *conf, struct kinds *kinds)
{
	const char *key = line + strlen("Acquire::"), *value = strchr(line, '"');

	if (!text_starts_with(line, "Acquire::") || !value || is_ours(key) ||
	    text_starts_with(value, "\"\";"))
		return;
	/* apt prints a quote inside of a value as it is; no way back from there. */
	if (!strchr(value + 1, '"') || strcmp(strchr(value + 1, '"'), "\";") != 0)
		return;
	(void)buf_append_text(conf, line);
	(void)buf_append_char(conf, '\n');
	sort_kind(key, kinds);
}

/* auth.conf is there, or auth.conf.d with something in it; the directory is on every
 * Debian. */
static bool is_used(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char **names = NULL;
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		return st.st_size > 0;
	if (fs_list(fd, &names, &n, NULL) < 0)
		return false;
	fs_list_free(names);
	return n > 0;
}

/* NAME='VALUE' of `apt-config shell`. */
static void take_auth(char *line, struct buf *conf, struct kinds *kinds)
{
	char *value = strchr(line, '='), *end;

	if (!value || value[1] != '\'')
		return;
	*value = '\0';
	value += 2;
	end = strrchr(value, '\'');
	if (!end)
		return;
	*end = '\0';
	if (strpbrk(value, "\"\\'") || !is_used(value))
		return;
	(void)buf_printf(conf, "Dir::Etc::%s \"%s\";\n", line, value);
	kinds->credentials = true;
}

static int take_credentials(struct buf *conf, struct kinds *kinds, struct cop_error *err)
{
	static const char *const argv[] = {"apt-config", "shell",
					   "netrc",	 "Dir::Etc::netrc/f",
					   "netrcparts", "Dir::Etc::netrcparts/d",
					   NULL};
	auto_buf output = {};
	char *rest, *line;
	int r = process_check(argv, NULL, &output, err);

	rest = output.data;
	while (r >= 0 && rest && (line = strsep(&rest, "\n")))
		take_auth(line, conf, kinds);
	return r;
}

static bool environment_has_proxy(void)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "HTTP_PROXY",
					    "HTTPS_PROXY", "all_proxy"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return true;
	}
	return false;
}

int host_settings(const struct lock_options *options, struct buf *conf,
		  struct cop_error *err)
{
	static const char *const argv[] = {"apt-config", "dump", NULL};
	struct kinds kinds = {.proxy = environment_has_proxy()};
	auto_buf output = {};
	char *rest, *line;
	int r = process_check(argv, NULL, &output, err);

	if (r == -ENOENT)
		return err_set(err, r,
			       "lock: there is no apt here: install the package apt");
	if (r < 0)
		return err_prefix(err, r, "read the host's apt settings");
	rest = output.data;
	while (rest && (line = strsep(&rest, "\n")))
		take_line(line, conf, &kinds);
	r = take_credentials(conf, &kinds, err);
	if (r < 0)
		return err_prefix(err, r, "read the host's apt settings");
	if (conf->failed)
		return err_oom(err);
	if (kinds.proxy || kinds.certificate || kinds.credentials)
		apt_note(options, "the host's apt settings are used:%s%s%s",
			 kinds.proxy ? " proxy" : "",
			 kinds.certificate ? " certificates" : "",
			 kinds.credentials ? " credentials" : "");
	return 0;
}

/* --- mirrors --- */

struct mirrors {
	struct arena *arena;
	const char **uris;
	size_t n;
};

static int add_mirror(struct mirrors *mirrors, const char *uri, struct cop_error *err)
{
	size_t length = strlen(uri);
	auto_buf text = {};
	char *copy;

	if (mirrors->n == MIRRORS_MAX || check_uri(uri))
		return 0;
	(void)buf_printf(&text, "%s%s", uri, uri[length - 1] == '/' ? "" : "/");
	if (text.failed)
		return err_oom(err);
	for (size_t i = 0; i < mirrors->n; i++)
		if (strcmp(mirrors->uris[i], text.data) == 0)
			return 0;
	copy = arena_text(mirrors->arena, text.data);
	if (!copy)
		return err_oom(err);
	mirrors->uris[mirrors->n++] = copy;
	return 0;
}

/* "mirror+file:/etc/apt/mirrors/debian.list" names a file of addresses, one per line. */
static int add_mirror_file(struct mirrors *mirrors, const char *path,
			   struct cop_error *err)
{
	auto_free char *copy = strdup(path);
	auto_close int fd = -EBADF;
	auto_buf text = {};
	char *rest, *line;
	int r = 0;

	if (!copy)
		return err_oom(err);
	if (*copy && copy[strlen(copy) - 1] == '/')
		copy[strlen(copy) - 1] = '\0';
	fd = open(copy, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	r = fs_read_all(fd, MIB, &text, err);
	rest = text.data;
	while (r >= 0 && rest && (line = strsep(&rest, "\n"))) {
		line[strcspn(line, " \t#")] = '\0';
		r = *line ? add_mirror(mirrors, line, err) : 0;
	}
	return r;
}

/* "Debian|LABEL|URI" of `apt-get indextargets` */
static int take_target(struct mirrors *mirrors, const char *label, const char *line,
		       struct cop_error *err)
{
	static const char origin[] = "Debian|";
	size_t length = strlen(label);

	if (!text_starts_with(line, origin))
		return 0;
	line += sizeof(origin) - 1;
	if (!text_starts_with(line, label) || line[length] != '|')
		return 0;
	line += length + 1;
	if (text_starts_with(line, "mirror+file:"))
		return add_mirror_file(mirrors, line + strlen("mirror+file:"), err);
	return add_mirror(mirrors, line, err);
}

int host_mirrors(struct arena *arena, const char *const *labels, const char ***ret_uris,
		 size_t n_labels, struct cop_error *err)
{
	static const char *const argv[] = {"apt-get",
					   "indextargets",
					   "--format",
					   "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
					   "Created-By: Packages",
					   NULL};
	auto_buf output = {};
	int r = process_check(argv, NULL, &output, err);

	if (r < 0)
		return err_prefix(err, r, "ask the host's apt for its mirrors");
	for (size_t i = 0; i < n_labels; i++) {
		struct mirrors mirrors = {.arena = arena};
		const char *text = buf_text(&output);

		mirrors.uris =
			arena_alloc(arena, (MIRRORS_MAX + 1) * sizeof(*mirrors.uris));
		if (!mirrors.uris)
			return err_oom(err);
		while (*text && r >= 0) {
			size_t length = strcspn(text, "\n");
			auto_free char *line = strndup(text, length);

			if (!line)
				return err_oom(err);
			r = take_target(&mirrors, labels[i], line, err);
			text += length + (text[length] == '\n');
		}
		if (r < 0)
			return r;
		ret_uris[i] = mirrors.uris;
	}
	return 0;
}

/* --- snapshots --- */

int host_snapshots(const char *label, struct buf *template, struct cop_error *err)
{
	/* Debian's own label is also that of its origin. */
	static const char *const kinds[] = {"Label", "Origin"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && template->size == 0; i++) {
		const char *argv[] = {"apt-config", "dump", "--format", "%v", NULL, NULL};
		auto_buf key = {};
		int r;

		if (buf_printf(&key, "Acquire::Snapshots::URI::%s::%s", kinds[i], label) <
		    0)
			return err_oom(err);
		argv[4] = key.data;
		r = process_check(argv, NULL, template, err);
		if (r < 0)
			return err_prefix(err, r, "ask the host's apt for its snapshots");
		if (template->failed)
			return err_oom(err);
		/* Something else, such as "no", is apt's word for none. */
		if (!strstr(buf_text(template), "@SNAPSHOTID@") ||
		    check_uri(buf_text(template)))
			buf_truncate(template, 0);
	}
	return 0;
}
