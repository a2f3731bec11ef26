/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of all repositories, fetched and verified by apt.  Those at one address have
 * one file of sources, with the keys that may sign them and no others.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "recipe/apt.h"

#define LISTS_MAX 32
#define LISTS	  "var/lib/apt/lists"

/* Nobody asks it anything while it has all lists. */
static const char *const update_argv[] = {
	"apt-get", "-q", "-opkgCacheFile::Generate=false", "update", NULL};

/* --- sources --- */

static void describe(const struct apt *apt, const struct apt_place *place,
		     const char *uri, struct buf *text)
{
	const char **component = apt->repositories[place->first].lock.components;

	(void)buf_printf(text, "Types: deb\nURIs: %s\nSuites:", uri);
	for (size_t i = place->first; i < place->end; i++)
		(void)buf_printf(text, " %s", apt->repositories[i].lock.suite);
	if (*component)
		(void)buf_append_text(text, "\nComponents:");
	for (; *component; component++)
		(void)buf_printf(text, " %s", *component);
	(void)buf_printf(text, "\nArchitectures: %s\nSigned-By: %s\n",
			 apt->recipe->architecture, place->keyring);
}

/* @uri: NULL for none */
static int write_place(const struct apt *apt, const struct apt_place *place,
		       const char *uri, struct cop_error *err)
{
	auto_buf path = {}, text = {};

	if (buf_printf(&path, "etc/apt/sources.list.d/%s.sources", place->name) < 0)
		return err_oom(err);
	if (uri)
		describe(apt, place, uri, &text);
	return apt_write(apt, path.data, &text, err);
}

/* Debian's own alone, for what is to be the same with and without others. */
static int write_debian(const struct apt *apt, struct cop_error *err)
{
	auto_buf text = {};

	for (size_t i = 0; i < APT_DEBIAN_PLACES; i++) {
		describe(apt, &apt->places[i], apt->places[i].uri, &text);
		(void)buf_append_char(&text, '\n');
	}
	return apt_write(apt, APT_DEBIAN_SOURCES, &text, err);
}

/* --- fetching --- */

/* 0, 1 with the reason in @words, or a negative errno. */
static int run_update(const struct apt *apt, struct buf *words, struct cop_error *err)
{
	auto_buf output = {};
	int r = apt_run(apt, update_argv, &output, err);

	if (r > 0) {
		buf_truncate(words, 0);
		apt_words(buf_text(&output), words);
	}
	return r;
}

static int fail_place(const struct apt *apt, const struct apt_place *place,
		      const char *words, struct cop_error *err)
{
	const struct recipe_repository *extra = place->extra;

	if (!extra)
		return err_set(err, -EIO, "lock '%s': no mirror has %s: %s",
			       apt->recipe->path,
			       apt->repositories[place->first].lock.suite, words);
	return err_set(err, -EIO, "%s:%u:%u: repository '%s': %s", extra->path,
		       extra->line, extra->column, extra->id, words);
}

/* The first of its addresses that has it all, verified. */
static int update_place(struct apt *apt, struct apt_place *place, struct cop_error *err)
{
	auto_buf words = {};

	for (size_t i = 0; place->uris[i]; i++) {
		int r = write_place(apt, place, place->uris[i], err);

		if (r >= 0)
			r = run_update(apt, &words, err);
		if (r < 0)
			return r;
		place->uri = place->uris[i];
		if (r == 0)
			return 0;
		if (place->uris[i + 1])
			apt_note(apt->options, "mirror '%s' failed, trying the next: %s",
				 place->uris[i], buf_text(&words));
	}
	return fail_place(apt, place, buf_text(&words), err);
}

/* Everything from the first addresses: what works nearly always, and quickest. */
static int update_at_once(struct apt *apt, struct buf *words, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < apt->n_places && r >= 0; i++) {
		apt->places[i].uri = apt->places[i].uris[0];
		r = write_place(apt, &apt->places[i], apt->places[i].uri, err);
	}
	return r < 0 ? r : run_update(apt, words, err);
}

/* One place after the other, to go on at its next address or to say which it is. */
static int update_one_by_one(struct apt *apt, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < apt->n_places && r >= 0; i++)
		r = write_place(apt, &apt->places[i], NULL, err);
	for (size_t i = 0; i < apt->n_places && r >= 0; i++)
		r = update_place(apt, &apt->places[i], err);
	return r;
}

/* --- what has come --- */

/* "SUITE|ADDRESS|FILE" of `apt-get indextargets` */
static int take_list(struct apt *apt, char *line, struct cop_error *err)
{
	const char *suite = strsep(&line, "|"), *uri = strsep(&line, "|");
	struct apt_repository *repository = NULL;
	size_t n = 0;

	for (size_t i = 0; line && i < apt->n_repositories; i++)
		if (strcmp(apt->repositories[i].lock.suite, suite) == 0 &&
		    strcmp(apt->repositories[i].place->uri, uri) == 0)
			repository = &apt->repositories[i];
	if (!repository)
		return 0;
	while (repository->lists[n])
		n++;
	if (n == LISTS_MAX)
		return err_set(err, -E2BIG, "repository %s has too many lists", suite);
	repository->lists[n] = arena_text(apt->arena, line);
	return repository->lists[n] ? 0 : err_oom(err);
}

static int find_lists(struct apt *apt, struct cop_error *err)
{
	static const char *const argv[] = {"apt-get",
					   "indextargets",
					   "--format",
					   "$(RELEASE)|$(REPO_URI)|$(FILENAME)",
					   "Created-By: Packages",
					   NULL};
	auto_buf output = {};
	char *rest, *line;
	int r;

	for (size_t i = 0; i < apt->n_repositories; i++) {
		apt->repositories[i].lists =
			arena_alloc(apt->arena, (LISTS_MAX + 1) * sizeof(char *));
		if (!apt->repositories[i].lists)
			return err_oom(err);
	}
	r = process_check(argv, (const char *const *)apt->env, &output, err);
	rest = output.data;
	while (r >= 0 && rest && (line = strsep(&rest, "\n")))
		r = *line ? take_list(apt, line, err) : 0;
	return r;
}

/* As apt names its files: the address without its scheme, '_' for '/', and what could be
 * taken for something else in hexadecimal digits. */
static void add_list_name(struct buf *name, const char *uri)
{
	static const char quoted[] = "\\|{}[]<>\"^~_=!@#$%&*";
	const char *from = strchr(uri, ':');

	from = from ? from + 1 : uri;
	if (text_starts_with(from, "//"))
		from += 2;
	for (; *from; from++)
		if (*from == '/')
			(void)buf_append_char(name, '_');
		else if (strchr(quoted, *from) || *from <= ' ' || *from >= '\x7f')
			(void)buf_printf(name, "%%%02x", (unsigned char)*from);
		else
			(void)buf_append_char(name, *from);
}

static int add_release_name(const struct apt_repository *repository, struct buf *name)
{
	const char *suite = repository->lock.suite, *uri = repository->place->uri;
	const bool is_directory = text_ends_with(suite, "/");
	auto_buf whole = {};

	(void)buf_append_text(&whole, uri);
	if (strcmp(suite, "/") != 0)
		(void)buf_printf(&whole, "%s%s%s", is_directory ? "" : "dists/", suite,
				 is_directory ? "" : "/");
	if (whole.failed)
		return -ENOMEM;
	add_list_name(name, whole.data);
	return name->failed ? -ENOMEM : 0;
}

/* "InRelease", or "Release" with its signature beside it */
static int find_release(struct apt *apt, struct apt_repository *repository,
			struct cop_error *err)
{
	static const char *const endings[] = {"InRelease", "Release"};

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		auto_buf path = {};

		(void)buf_printf(&path, "%s/" LISTS "/", apt->root);
		(void)add_release_name(repository, &path);
		if (buf_append_text(&path, endings[i]) < 0)
			return err_oom(err);
		if (access(path.data, F_OK) == 0)
			return release_read(apt, path.data, repository, err);
	}
	return err_set(err, -ENOENT, "repository %s has no Release file",
		       repository->lock.id);
}

static int read_releases(struct apt *apt, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < apt->n_repositories; i++)
		r = find_release(apt, &apt->repositories[i], err);
	return r < 0 ? err_prefix(err, r, "lock '%s'", apt->recipe->path) : 0;
}

int apt_update(struct apt *apt, struct cop_error *err)
{
	auto_buf words = {};
	size_t n_addresses = 0;
	int r = update_at_once(apt, &words, err);

	for (size_t i = 0; i < apt->n_places; i++)
		for (size_t j = 0; apt->places[i].uris[j]; j++)
			n_addresses++;
	if (r > 0 && n_addresses == APT_DEBIAN_PLACES)
		return err_set(err, -EIO, "lock '%s': read the archive of %s: %s",
			       apt->recipe->path, apt->recipe->suite, buf_text(&words));
	if (r > 0)
		r = update_one_by_one(apt, err);
	if (r >= 0)
		r = write_debian(apt, err);
	if (r >= 0)
		r = find_lists(apt, err);
	return r < 0 ? r : read_releases(apt, err);
}
