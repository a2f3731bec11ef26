/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/names.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "recipe/check.h"

/* Users and groups with fixed numbers: base-passwd of all suites. */
static const char *const fixed[] = {
	"_apt",	   "adm",     "audio",	  "backup",  "bin",    "cdrom", "daemon",
	"dialout", "dip",     "disk",	  "fax",     "floppy", "games", "gnats",
	"irc",	   "kmem",    "list",	  "lp",	     "mail",   "man",	"news",
	"nobody",  "nogroup", "operator", "plugdev", "proxy",  "root",	"sasl",
	"shadow",  "src",     "staff",	  "sudo",    "sync",   "sys",	"tape",
	"tty",	   "users",   "utmp",	  "uucp",    "video",  "voice", "www-data"};

/* Options of these programs whose value is the next word. */
static const char *const valued[] = {
	"--comment", "--conf",	   "--firstgid", "--firstuid", "--gecos",    "--gid",
	"--home",    "--home-dir", "--key",	 "--lastgid",  "--lastuid",  "--password",
	"--root",    "--shell",	   "--skel",	 "--uid",      "--base-dir", "-G",
	"-K",	     "-P",	   "-R",	 "-b",	       "-c",	     "-d",
	"-f",	     "-e",	   "-g",	 "-k",	       "-p",	     "-s",
	"-u"};

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return true;
	return false;
}

/* adduser's --force-badname and useradd --badname are there for names such as these. */
static bool is_name(const char *text)
{
	auto_free char *lower = strdup(text);

	if (!lower)
		return false;
	if (*lower >= 'A' && *lower <= 'Z')
		*lower = (char)(*lower - 'A' + 'a');
	return check_account(lower) && !is_one_of(text, fixed, ARRAY_SIZE(fixed));
}

/* --- scripts --- */

static bool is_variable_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

/* The next word of a command, without its quotes; an escaped end of line is a space.
 * False at the end of the command. */
static bool next_word(const char **at, struct buf *word)
{
	const char *p = *at;
	char quote = '\0';

	buf_truncate(word, 0);
	while (*p == ' ' || *p == '\t' || (*p == '\\' && p[1] == '\n'))
		p += *p == '\\' ? 2 : 1;
	if (!*p || strchr("\n;|&)}#<>`", *p)) {
		*at = p;
		return false;
	}
	for (; *p && (quote || !strchr(" \t\n;|&)<>`", *p)); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? '\0' : *p;
		else if (*p == '\\' && p[1] && quote != '\'') {
			if (*++p == '\n')
				break;
			(void)buf_append_char(word, *p);
		} else
			(void)buf_append_char(word, *p);
	}
	*at = p;
	return true;
}

/* What NAME= was last set to before @end; false when it was never set to one word. */
static bool variable_value(const char *text, const char *end, const char *name,
			   size_t size, struct buf *value)
{
	bool found = false;

	for (const char *at = text; (at = memmem(at, (size_t)(end - at), name, size));
	     at += size) {
		const char *from = at + size + 1;

		if (at[size] != '=' || (at > text && is_variable_byte(at[-1])))
			continue;
		/* ${NAME:=word} and the like are not set here. */
		found = next_word(&from, value) && value->size > 0;
	}
	return found;
}

/* "$NAME" and "${NAME}", or "${NAME:-word}": the word where nothing sets it. */
static bool expand(const char *text, const char *end, struct buf *word)
{
	auto_buf value = {};
	const char *name = buf_text(word);
	size_t size = 0;

	if (*name != '$')
		return true;
	name += name[1] == '{' ? 2 : 1;
	while (is_variable_byte(name[size]))
		size++;
	if (size == 0)
		return false;
	if (!variable_value(text, end, name, size, &value)) {
		const char *other = name + size;

		if (other[0] != ':' || (other[1] != '-' && other[1] != '='))
			return false;
		(void)buf_append(&value, other + 2, strcspn(other + 2, "}"));
	}
	buf_truncate(word, 0);
	(void)buf_append_text(word, buf_text(&value));
	return true;
}

static int take_words(const char *text, const char *at, name_found *found, void *data,
		      struct cop_error *err)
{
	auto_buf word = {};
	bool is_value = false;
	int r = 0;

	while (r >= 0 && next_word(&at, &word)) {
		if (word.failed)
			return err_oom(err);
		if (is_value) {
			is_value = false;
			continue;
		}
		if (*buf_text(&word) == '-') {
			is_value = is_one_of(buf_text(&word), valued, ARRAY_SIZE(valued));
			continue;
		}
		if (expand(text, at, &word) && is_name(buf_text(&word)))
			r = found(data, buf_text(&word), 0, err);
	}
	return r;
}

/* Does a command begin here, and not a part of another word? */
static bool is_command(const char *text, const char *at, size_t size)
{
	const char before = at > text ? at[-1] : '\n';

	return strchr(" \t\n;|&({!/`", before) && strchr(" \t\\", at[size]) && at[size];
}

static bool is_comment(const char *text, const char *at)
{
	while (at > text && at[-1] != '\n')
		at--;
	return at[strspn(at, " \t")] == '#';
}

int names_of_script(const char *text, name_found *found, void *data,
		    struct cop_error *err)
{
	static const char *const programs[] = {"adduser", "addgroup", "useradd",
					       "groupadd"};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		const size_t size = strlen(programs[i]);

		for (const char *at = text; (at = strstr(at, programs[i])); at += size) {
			int r;

			if (!is_command(text, at, size) || is_comment(text, at))
				continue;
			r = take_words(text, at + size, found, data, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* --- sysusers.d --- */

/* "-", a path, "-:GROUP": whatever is free; "NUMBER" and "NUMBER:...": that one. */
static uint32_t asked_number(const char *text)
{
	char digits[12] = "";
	size_t size = strcspn(text, ":");
	uint64_t number;

	if (size == 0 || size >= sizeof(digits))
		return 0;
	memcpy(digits, text, size);
	return text_to_u64(digits, &number) == 0 && number < UINT32_MAX ? (uint32_t)number
									: 0;
}

int names_of_sysusers(const char *text, name_found *found, void *data,
		      struct cop_error *err)
{
	auto_buf word = {};

	while (*text) {
		const char *at = text;
		bool is_account;
		int r = 0;

		is_account = next_word(&at, &word) && word.size > 0 &&
			     (*word.data == 'u' || *word.data == 'g') &&
			     (word.size == 1 || strchr("!-", word.data[1]));
		if (is_account && next_word(&at, &word) && is_name(buf_text(&word))) {
			auto_free char *name = strdup(buf_text(&word));

			if (!name)
				return err_oom(err);
			r = found(data, name,
				  next_word(&at, &word) ? asked_number(buf_text(&word))
							: 0,
				  err);
		}
		if (r < 0)
			return r;
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return word.failed ? err_oom(err) : 0;
}
