/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where apt of the finished tree gets packages from.  Without a mirror in the options the
 * distribution's own default is taken, which its apt package brings as an example.
 */
#include <string.h>

#include "modkit/root.h"
#include "modules/stages/control.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define SOURCES_DIR "etc/apt/sources.list.d"
#define EXAMPLES    "usr/share/doc/apt/examples/"
#define KEYRING	    "/usr/share/keyrings/debian-archive-keyring.gpg"
#define FILE_MAX    (1 * MIB)
#define URI_MAX	    1024

struct sources {
	struct kit *kit;
	const char *suite;
	json_t *components;
	char mirror[URI_MAX];
	char security[URI_MAX];
};

static bool is_word(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 127 || *text == '#')
			return false;
	return true;
}

static int read_uri(struct kit *kit, const char *key, char uri[URI_MAX])
{
	const char *text = NULL;
	int r = json_optional_string(kit->options, key, "options", &text, kit->err);

	if (r < 0 || !text)
		return r;
	if (!is_word(text) || strlen(text) >= URI_MAX || !strstr(text, ":/"))
		return err_set(kit->err, -EINVAL, "%s '%s' is not a URI", key, text);
	(void)strcpy(uri, text);
	return 0;
}

static int read_options(struct sources *sources)
{
	static const char *const keys[] = {"suite", "components", "mirror",
					   "security-mirror", NULL};
	struct kit *kit = sources->kit;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_string(kit->options, "suite", "options", &sources->suite,
				    kit->err);
	if (r == 0)
		r = json_get_array(kit->options, "components", "options",
				   &sources->components, kit->err);
	if (r == 0)
		r = read_uri(kit, "mirror", sources->mirror);
	if (r == 0)
		r = read_uri(kit, "security-mirror", sources->security);
	if (r < 0)
		return r;
	if (!is_word(sources->suite))
		return err_set(kit->err, -EINVAL, "suite '%s' is not a name",
			       sources->suite);
	if (json_array_size(sources->components) == 0)
		return err_set(kit->err, -EINVAL, "there must be a component");
	for (size_t i = 0; i < json_array_size(sources->components); i++) {
		const char *name =
			json_string_value(json_array_get(sources->components, i));

		if (!name || !is_word(name))
			return err_set(kit->err, -EINVAL, "component %zu is not a name",
				       i + 1);
	}
	return 0;
}

static bool ends_with(const struct stanza *word, const char *end)
{
	size_t size = strlen(end);

	return word->size >= size &&
	       memcmp(word->text + word->size - size, end, size) == 0;
}

/* The first of each kind stays. */
static void keep_uri(struct sources *sources, const struct stanza *uri, bool security)
{
	char *into = security ? sources->security : sources->mirror;

	if (*into || uri->size >= URI_MAX)
		return;
	memcpy(into, uri->text, uri->size);
	into[uri->size] = '\0';
}

static void take_stanza(struct sources *sources, const struct stanza *stanza)
{
	struct stanza uris, suites, uri, suite;

	if (stanza_get(stanza, "URIs", &uris) && stanza_get(stanza, "Suites", &suites) &&
	    word_next(&uris, &uri) && word_next(&suites, &suite))
		keep_uri(sources, &uri, ends_with(&suite, "-security"));
}

/* "deb [options] URI SUITE COMPONENT..." */
static void take_line(struct sources *sources, struct stanza line)
{
	struct stanza word, suite;

	if (!word_next(&line, &word) || word.size != 3 ||
	    memcmp(word.text, "deb", 3) != 0 || !word_next(&line, &word))
		return;
	if (word.text[0] == '[')
		do {
			bool last = ends_with(&word, "]");

			if (!word_next(&line, &word))
				return;
			if (last)
				break;
		} while (true);
	if (word_next(&line, &suite))
		keep_uri(sources, &word, ends_with(&suite, "-security"));
}

/* Lines that start with '#' are comments, in both formats. */
static int without_comments(const char *text, struct buf *plain)
{
	int r = 0;

	while (*text && r == 0) {
		const char *newline = strchr(text, '\n');
		size_t size = newline ? (size_t)(newline - text) + 1 : strlen(text);

		if (*text != '#')
			r = buf_append(plain, text, size);
		text += size;
	}
	return r;
}

/* Return: 1, 0 when there is no such file, or a negative errno. */
static int read_example(struct sources *sources, const char *path, struct buf *plain)
{
	auto_buf text = {};
	struct cop_error *err = sources->kit->err;
	struct stat st;
	int r = root_stat(sources->kit->tree_fd, path, &st, NULL);

	if (r == -ENOENT)
		return 0;
	r = root_read(sources->kit->tree_fd, path, FILE_MAX, &text, err);
	if (r == 0 && without_comments(buf_text(&text), plain) < 0)
		r = err_oom(err);
	return r < 0 ? r : 1;
}

static int read_defaults(struct sources *sources)
{
	auto_buf stanzas = {}, lines = {};
	struct stanza stanza;
	const char *at;
	int r = read_example(sources, EXAMPLES "debian.sources", &stanzas);

	if (r < 0)
		return r;
	at = buf_text(&stanzas);
	while (stanza_next(&at, &stanza))
		take_stanza(sources, &stanza);
	if (r > 0)
		return 0;
	r = read_example(sources, EXAMPLES "sources.list", &lines);
	if (r < 0)
		return r;
	for (at = buf_text(&lines); *at;) {
		const char *newline = strchr(at, '\n');
		size_t size = newline ? (size_t)(newline - at) + 1 : strlen(at);

		take_line(sources, (struct stanza){at, size});
		at += size;
	}
	return 0;
}

static void add_stanza(struct sources *sources, struct buf *text, const char *uri,
		       const char *const *suffixes)
{
	if (text->size)
		(void)buf_append_char(text, '\n');
	(void)buf_printf(text, "Types: deb\nURIs: %s\nSuites:", uri);
	for (; *suffixes; suffixes++)
		(void)buf_printf(text, " %s%s", sources->suite, *suffixes);
	(void)buf_append_text(text, "\nComponents:");
	for (size_t i = 0; i < json_array_size(sources->components); i++)
		(void)buf_printf(
			text, " %s",
			json_string_value(json_array_get(sources->components, i)));
	(void)buf_printf(text, "\nSigned-By: %s\n", KEYRING);
}

/* Suites that move all the time have neither updates nor security. */
static bool is_rolling(const char *suite)
{
	return strcmp(suite, "sid") == 0 || strcmp(suite, "unstable") == 0 ||
	       strcmp(suite, "experimental") == 0;
}

static int write_sources(struct sources *sources)
{
	static const char *const plain[] = {"", NULL},
				 *const updates[] = {"", "-updates", NULL},
				 *const security[] = {"-security", NULL};
	bool rolling = is_rolling(sources->suite);
	struct kit *kit = sources->kit;
	auto_buf text = {};
	int r;

	if (!sources->mirror[0] || (!rolling && !sources->security[0]))
		return err_set(kit->err, -ENOENT,
			       "no %s is given and the tree's '/%s' names none: set it "
			       "in the options",
			       sources->mirror[0] ? "security-mirror" : "mirror",
			       EXAMPLES);
	add_stanza(sources, &text, sources->mirror, rolling ? plain : updates);
	if (!rolling)
		add_stanza(sources, &text, sources->security, security);
	if (text.failed)
		return err_oom(kit->err);
	r = root_make_dirs(kit->tree_fd, SOURCES_DIR, 0755, kit->err);
	return r < 0 ? r
		     : root_replace(kit->tree_fd, SOURCES_DIR "/debian.sources",
				    buf_text(&text), text.size, 0644, kit->err);
}

int stage_apt_sources(struct kit *kit)
{
	struct sources sources = {.kit = kit};
	struct stat st;
	int r = read_options(&sources);

	if (r == 0)
		r = root_stat(kit->tree_fd, KEYRING, &st, kit->err);
	if (r == -ENOENT)
		return err_set(kit->err, r,
			       "the tree has no '%s': install the package "
			       "debian-archive-keyring",
			       KEYRING);
	if (r == 0 && (!sources.mirror[0] || !sources.security[0]))
		r = read_defaults(&sources);
	return r == 0 ? write_sources(&sources) : r;
}
