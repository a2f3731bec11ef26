/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/sources/mirrors.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "json/json.h"

#define MIRRORS_MAX 32
/* What a template of the snapshot archive has in place of the date. */
#define SNAPSHOT_ID "@SNAPSHOTID@"

void mirrors_done(struct mirrors *mirrors)
{
	for (size_t i = 0; i < mirrors->n; i++)
		free(mirrors->uris[i]);
	free(mirrors->uris);
	*mirrors = (struct mirrors){};
}

static int add(struct mirrors *mirrors, const char *uri, struct cop_error *err)
{
	char **uris, *copy;

	if (!*uri || strpbrk(uri, " \t\n") || mirrors->n == MIRRORS_MAX)
		return 0;
	if (asprintf(&copy, "%s%s", uri, text_ends_with(uri, "/") ? "" : "/") < 0)
		return err_oom(err);
	for (size_t i = 0; i < mirrors->n; i++)
		if (strcmp(mirrors->uris[i], copy) == 0) {
			free(copy);
			return 0;
		}
	uris = reallocarray(mirrors->uris, mirrors->n + 1, sizeof(*uris));
	if (!uris) {
		free(copy);
		return err_oom(err);
	}
	mirrors->uris = uris;
	uris[mirrors->n++] = copy;
	return 0;
}

static int add_template(struct mirrors *mirrors, const char *template, const char *date,
			struct cop_error *err)
{
	const char *place = strstr(template, SNAPSHOT_ID);
	auto_buf uri = {};

	if (!place || !date)
		return 0;
	(void)buf_append(&uri, template, (size_t)(place - template));
	(void)buf_append_text(&uri, date);
	(void)buf_append_text(&uri, place + strlen(SNAPSHOT_ID));
	return uri.failed ? err_oom(err) : add(mirrors, buf_text(&uri), err);
}

/* "mirror+file:/etc/apt/mirrors/debian.list": one address per line. */
static int add_list(struct mirrors *mirrors, const char *path, struct cop_error *err)
{
	auto_free char *copy = strdup(path);
	auto_close int fd = -EBADF;
	auto_buf text = {};
	char *rest, *line;
	int r = 0;

	if (!copy)
		return err_oom(err);
	while (text_ends_with(copy, "/"))
		copy[strlen(copy) - 1] = '\0';
	fd = open(copy, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	r = fs_read_all(fd, MIB, &text, err);
	rest = text.data;
	while (r == 0 && rest && (line = strsep(&rest, "\n"))) {
		line[strcspn(line, " \t#")] = '\0';
		r = add(mirrors, line, err);
	}
	return r;
}

static int add_host_uri(struct mirrors *mirrors, const char *uri, struct cop_error *err)
{
	static const char list[] = "mirror+file:";

	if (text_starts_with(uri, list))
		return add_list(mirrors, uri + strlen(list), err);
	return add(mirrors, uri, err);
}

/* A host that never fetched its lists does not know whose its repositories are: then the
 * address has to tell security updates from the rest. */
static bool may_be(const char *line_origin, const char *uri, const char *label)
{
	bool wants_security = label && strstr(label, "Security");

	return !*line_origin && !strstr(uri, "security") == !wants_security;
}

static int add_of_host(struct mirrors *mirrors, const char *origin, const char *label,
		       struct cop_error *err)
{
	static const char *const argv[] = {"apt-get",
					   "indextargets",
					   "--format",
					   "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
					   "Created-By: Packages",
					   NULL};
	struct cop_error reason = {};
	auto_buf output = {};
	char *rest, *line;
	int r = process_check(argv, NULL, &output, &reason);

	/* A host without apt has none to offer. */
	if (r < 0)
		return r == -ENOMEM ? err_oom(err) : 0;
	rest = output.data;
	while (r == 0 && rest && (line = strsep(&rest, "\n"))) {
		char *its_label = strchr(line, '|'), *uri;

		if (!its_label)
			continue;
		*its_label++ = '\0';
		uri = strchr(its_label, '|');
		if (!uri)
			continue;
		*uri++ = '\0';
		if ((strcmp(line, origin) == 0 &&
		     (!label || strcmp(its_label, label) == 0)) ||
		    may_be(line, uri, label))
			r = add_host_uri(mirrors, uri, err);
	}
	return r;
}

/* apt's own setting: Acquire::Snapshots::URI::{Label,Origin}::NAME "template". */
static int add_snapshots_of_host(struct mirrors *mirrors, const char *origin,
				 const char *label, const char *date,
				 struct cop_error *err)
{
	static const char *const kinds[] = {"Label", "Origin"};
	const char *const names[] = {label, origin};
	struct cop_error reason = {};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		auto_free char *key = NULL;
		auto_buf output = {};
		const char *argv[] = {"apt-config", "dump", "--format", "%v", NULL, NULL};
		int r;

		if (!names[i] || !*names[i])
			continue;
		if (asprintf(&key, "Acquire::Snapshots::URI::%s::%s", kinds[i],
			     names[i]) < 0) {
			key = NULL;
			return err_oom(err);
		}
		argv[4] = key;
		if (process_check(argv, NULL, &output, &reason) < 0)
			continue;
		r = add_template(mirrors, buf_text(&output), date, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mirrors_find(const json_t *repository, struct mirrors *ret_mirrors,
		 struct cop_error *err)
{
	cleanup_with(mirrors_done) struct mirrors mirrors = {};
	const char *origin = NULL, *label = NULL, *date = NULL, *snapshot = NULL;
	json_t *named = NULL, *uri;
	size_t i;
	int r = json_get_string(repository, "origin", "repository", &origin, err);

	if (r == 0)
		r = json_optional_string(repository, "label", "repository", &label, err);
	if (r == 0)
		r = json_optional_string(repository, "date", "repository", &date, err);
	if (r == 0)
		r = json_optional_string(repository, "snapshot", "repository", &snapshot,
					 err);
	if (r == 0)
		r = json_optional_array(repository, "mirrors", "repository", &named, err);
	json_array_foreach (named, i, uri)
		if (r == 0 && json_is_text(uri))
			r = add(&mirrors, json_string_value(uri), err);
	if (r == 0 && mirrors.n == 0)
		r = add_of_host(&mirrors, origin, label, err);
	if (r == 0 && snapshot)
		r = add_template(&mirrors, snapshot, date, err);
	if (r == 0)
		r = add_snapshots_of_host(&mirrors, origin, label, date, err);
	if (r < 0)
		return r;
	*ret_mirrors = mirrors;
	mirrors = (struct mirrors){};
	return 0;
}
