/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions as Python's re.search() takes them, run by PCRE2 with limits. */
#pragma once

#include "json/value.h"

struct pattern;

/* pattern_new() - compile; -EINVAL for what Python would not compile */
int pattern_new(struct json_text text, struct pattern **ret_pattern,
		struct cop_error *err);
struct pattern *pattern_free(struct pattern *pattern);
DEFINE_AUTO_PTR(pattern)

/*
 * pattern_search() - look for the pattern anywhere in @subject
 *
 * Lone surrogates of @subject count as U+FFFD.  Safe from any thread.
 *
 * Return: 1 found, 0 not found, -E2BIG when the search takes too many steps, -ENOMEM.
 */
int pattern_search(const struct pattern *pattern, struct json_text subject,
		   struct cop_error *err);
