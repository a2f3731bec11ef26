/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/check.h"

#include <string.h>

#include "base/text.h"

#define PACKAGE_NAME_MAX 128
#define VERSION_MAX	 256
#define WORD_MAX	 64
#define COMPONENT_MAX	 128
#define LABEL_MAX	 63
#define HOSTNAME_MAX	 64
#define PATH_BYTES_MAX	 4095
#define URI_MAX		 1024
/* Longer words are not compared: the cost grows with the product of the lengths. */
#define NEAREST_MAX 32

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

bool check_suite(const char *text)
{
	static const char *const suites[] = {"bookworm", "trixie", NULL};

	return is_one_of(text, suites);
}

bool check_architecture(const char *text)
{
	static const char *const architectures[] = {
		"amd64",  "arm64",   "armel",	"armhf", "i386", "mips64el",
		"mipsel", "ppc64el", "riscv64", "s390x", NULL};

	return is_one_of(text, architectures);
}

bool check_package_name(const char *text)
{
	size_t length = strlen(text);

	if (length < 2 || length > PACKAGE_NAME_MAX)
		return false;
	if (!is_lower(*text) && !is_digit(*text))
		return false;
	for (; *text; text++)
		if (!is_lower(*text) && !is_digit(*text) && !strchr("+-.", *text))
			return false;
	return true;
}

static bool is_version(const char *text, const char *marks)
{
	size_t length = strlen(text);

	if (length < 1 || length > VERSION_MAX || !is_digit(*text))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr(marks, *text))
			return false;
	return true;
}

bool check_version(const char *text)
{
	return is_version(text, "+-.:~");
}

bool check_version_pattern(const char *text)
{
	return is_version(text, "+-.:~*");
}

bool check_word(const char *text)
{
	size_t length = strlen(text);

	if (length < 1 || length > WORD_MAX || (!is_lower(*text) && !is_digit(*text)))
		return false;
	for (; *text; text++)
		if (!is_lower(*text) && !is_digit(*text) && !strchr("-._", *text))
			return false;
	return true;
}

/* @last: may the last part be empty? */
static bool is_path_of_words(const char *text, bool last)
{
	if (!*text || strlen(text) > COMPONENT_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(text, "/");

		for (size_t i = 0; i < length; i++)
			if (!is_alnum(text[i]) && !strchr("-._+~", text[i]))
				return false;
		if (length == 2 && text[0] == '.' && text[1] == '.')
			return false;
		if (text[length] == '\0')
			return length > 0 || last;
		if (length == 0)
			return false;
		text += length + 1;
	}
}

bool check_component(const char *text)
{
	return is_path_of_words(text, false);
}

bool check_repository_suite(const char *text)
{
	return strcmp(text, "/") == 0 || is_path_of_words(text, true);
}

bool check_repository_id(const char *text)
{
	const char *slash = strchr(text, '/');
	char id[WORD_MAX + 1];

	if (!slash)
		return check_word(text);
	if ((size_t)(slash - text) > WORD_MAX)
		return false;
	(void)memcpy(id, text, (size_t)(slash - text));
	id[slash - text] = '\0';
	return check_word(id) && check_repository_suite(slash + 1);
}

bool check_account(const char *text)
{
	size_t length = strlen(text);

	if (length < 1 || length > 32 || (!is_lower(*text) && *text != '_'))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("-._", *text))
			return false;
	return true;
}

bool check_hostname(const char *text)
{
	if (strlen(text) > HOSTNAME_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(text, ".");

		if (length < 1 || length > LABEL_MAX)
			return false;
		if (text[0] == '-' || text[length - 1] == '-')
			return false;
		for (size_t i = 0; i < length; i++)
			if (!is_alnum(text[i]) && text[i] != '-')
				return false;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

bool check_relative_path(const char *text)
{
	if (strlen(text) > PATH_BYTES_MAX)
		return false;
	for (;;) {
		size_t length = strcspn(text, "/");

		if (length == 0 || (length == 1 && text[0] == '.') ||
		    (length == 2 && text[0] == '.' && text[1] == '.'))
			return false;
		for (size_t i = 0; i < length; i++)
			if ((unsigned char)text[i] < ' ' || text[i] == '\x7f')
				return false;
		if (text[length] == '\0')
			return true;
		text += length + 1;
	}
}

bool check_absolute_path(const char *text)
{
	return *text == '/' && check_relative_path(text + 1);
}

bool check_date(const char *text)
{
	static const char form[] = "00000000T000000Z";

	for (size_t i = 0; i < sizeof(form); i++) {
		if (form[i] == '0' ? !is_digit(text[i]) : text[i] != form[i])
			return false;
	}
	return true;
}

const char *check_uri(const char *text)
{
	const char *host;

	if (strlen(text) > URI_MAX)
		return "too long";
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p >= '\x7f' || strchr("\"'\\<>{}|^`[]#?;", *p))
			return "has a character that an address cannot have";
	if (text_starts_with(text, "file:/"))
		return strstr(text, "/../") ? "has '..' in it" : NULL;
	if (text_starts_with(text, "http://"))
		host = text + strlen("http://");
	else if (text_starts_with(text, "https://"))
		host = text + strlen("https://");
	else
		return "does not start with http://, https:// or file:/";
	if (*host == '\0' || *host == '/')
		return "names no host";
	/* A recipe and what is made of it are shown around; apt has a place for secrets.
	 */
	if (memchr(host, '@', strcspn(host, "/")))
		return "has a user or password in it; put them in apt's auth.conf";
	return NULL;
}

int check_mode(const char *text, unsigned int *ret_mode)
{
	size_t length = strlen(text);
	unsigned int mode = 0;

	if (length < 3 || length > 4)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return -EINVAL;
		mode = mode * 8 + (unsigned int)(*text - '0');
	}
	*ret_mode = mode;
	return 0;
}

static size_t min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein, one row at a time. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NEAREST_MAX + 1], length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t above = row[j];

			row[j] = min_of(min_of(above, row[j - 1]) + 1,
					diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[length];
}

const char *check_nearest(const char *text, const char *const *words)
{
	const char *nearest = NULL;
	size_t best = 3;

	if (strlen(text) > NEAREST_MAX)
		return NULL;
	for (; *words; words++) {
		size_t distance, length = strlen(*words);

		if (length > NEAREST_MAX)
			continue;
		distance = edit_distance(text, *words);
		/* Half of a short word changed is another word. */
		if (distance < best && distance * 2 < length) {
			best = distance;
			nearest = *words;
		}
	}
	return nearest;
}
