/* SPDX-License-Identifier: Apache-2.0 */
/* The format that sysusers.d and tmpfiles.d share: words, some of them quoted. */
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "modules/runners/runners.h"

#define FILE_SIZE_MAX (1 * MIB)

/* One word, unquoted in place; *at moves behind it. */
static char *take_word(char **at)
{
	char *from = *at + strspn(*at, " \t"), *to = from, *word = from, quote = '\0';

	for (; *from && (quote || (*from != ' ' && *from != '\t')); from++) {
		if (quote ? *from == quote : *from == '"' || *from == '\'')
			quote = quote ? '\0' : *from;
		else if (*from == '\\' && from[1])
			*to++ = *++from;
		else
			*to++ = *from;
	}
	*at = *from ? from + 1 : from;
	*to = '\0';
	return word;
}

static int take_line(char *line,
		     int (*take)(void *data, char *words[RUNNER_WORDS],
				 struct cop_error *err),
		     void *data, struct cop_error *err)
{
	static char none[] = "";
	char *words[RUNNER_WORDS];

	line += strspn(line, " \t\r");
	if (!*line || *line == '#')
		return 0;
	for (size_t i = 0; i < RUNNER_WORDS; i++) {
		line += strspn(line, " \t");
		/* The last is the rest of the line, blanks and all. */
		words[i] = i + 1 < RUNNER_WORDS || strchr("\"'", *line) ? take_word(&line)
									: line;
		if (strcmp(words[i], "-") == 0)
			words[i] = none;
	}
	return take(data, words, err);
}

int runner_each_line(int root_fd, const char *directory,
		     int (*take)(void *data, char *words[RUNNER_WORDS],
				 struct cop_error *err),
		     void *data, struct cop_error *err)
{
	auto_close int dir =
		fs_open_in_root(root_fd, directory, O_RDONLY | O_DIRECTORY, 0, NULL);
	char **names = NULL;
	size_t n_names = 0;
	int r = dir < 0 ? 0 : fs_list(dir, &names, &n_names, err);

	for (size_t i = 0; i < n_names && r == 0; i++) {
		auto_buf text = {};
		char *save = NULL;

		if (!text_ends_with(names[i], ".conf") ||
		    fs_read_file(dir, names[i], FILE_SIZE_MAX, &text, NULL) < 0)
			continue;
		(void)buf_append_char(&text, '\n');
		for (char *line = strtok_r(text.data, "\n", &save); line && r == 0;
		     line = strtok_r(NULL, "\n", &save))
			r = take_line(line, take, data, err);
	}
	fs_list_free(names);
	return r;
}
