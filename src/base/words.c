/* SPDX-License-Identifier: Apache-2.0 */
#include "base/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void words_done(struct words *words)
{
	buf_done(&words->text);
	words->n = 0;
}

void words_add(struct words *words, ...)
{
	const char *word;
	va_list ap;

	va_start(ap, words);
	while ((word = va_arg(ap, const char *))) {
		(void)buf_append(&words->text, word, strlen(word) + 1);
		words->n++;
	}
	va_end(ap);
}

void words_printf(struct words *words, const char *format, ...)
{
	auto_free char *word = NULL;
	va_list ap;
	int length;

	va_start(ap, format);
	length = vasprintf(&word, format, ap);
	va_end(ap);
	if (length < 0) {
		word = NULL;
		words->text.failed = true;
		return;
	}
	(void)buf_append(&words->text, word, (size_t)length + 1);
	words->n++;
}

int words_list(const struct words *words, const char ***ret_list, struct cop_error *err)
{
	const char **list = calloc(words->n + 1, sizeof(*list));
	const char *word = words->text.data;

	if (!list)
		return err_oom(err);
	if (words->text.failed) {
		free(list);
		return err_oom(err);
	}
	for (size_t i = 0; i < words->n; i++) {
		list[i] = word;
		word += strlen(word) + 1;
	}
	*ret_list = list;
	return 0;
}
