/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of a command line or an environment.  A lack of memory is noted and told by
 * words_list().  Not safe from several threads at the same time.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* struct words - each ends with a NUL in @text */
struct words {
	struct buf text;
	size_t n;
};

void words_done(struct words *words);
#define auto_words cleanup_with(words_done) struct words

/* words_add() - copies up to the NULL at the end; failures are noted in @words */
void words_add(struct words *words, ...) __attribute__((sentinel));
void words_printf(struct words *words, const char *format, ...) printf_like(2, 3);

/* words_list() - NULL-terminated, pointing into @words: good until the next word is
 * added; freed by the caller */
int words_list(const struct words *words, const char ***ret_list, struct cop_error *err);
