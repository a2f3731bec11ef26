/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a whole object of options at once. */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* struct option - one key; what is not there leaves the variable as it was.  Strings and
 * values are borrowed. */
struct option {
	const char *key;
	bool required;
	const char **text;
	int64_t *integer;
	bool *flag;
	json_t **object, **array;
};

#define OPTION_TEXT(name, variable)                \
	{                                          \
		.key = (name), .text = &(variable) \
	}
#define OPTION_INTEGER(name, variable)                \
	{                                             \
		.key = (name), .integer = &(variable) \
	}
#define OPTION_FLAG(name, variable)                \
	{                                          \
		.key = (name), .flag = &(variable) \
	}
#define OPTION_OBJECT(name, variable)                \
	{                                            \
		.key = (name), .object = &(variable) \
	}
#define OPTION_ARRAY(name, variable)                \
	{                                           \
		.key = (name), .array = &(variable) \
	}
#define NEEDED_TEXT(name, variable)                                  \
	{                                                            \
		.key = (name), .required = true, .text = &(variable) \
	}
#define NEEDED_INTEGER(name, variable)                                  \
	{                                                               \
		.key = (name), .required = true, .integer = &(variable) \
	}
#define NEEDED_OBJECT(name, variable)                                  \
	{                                                              \
		.key = (name), .required = true, .object = &(variable) \
	}
#define NEEDED_ARRAY(name, variable)                                  \
	{                                                             \
		.key = (name), .required = true, .array = &(variable) \
	}

/*
 * options_read() - fill the variables of all @n_options
 * @where: names the object in messages
 *
 * A whole number may be written with a fraction of zero.  Return: 0; -EINVAL for a
 * missing key, a value of another type or one that C cannot hold.
 */
int options_read(const json_t *object, const char *where, const struct option *options,
		 size_t n_options, struct cop_error *err);

/* options_only() - the same, and -EINVAL for a key that is not among @options */
int options_only(const json_t *object, const char *where, const struct option *options,
		 size_t n_options, struct cop_error *err);

/* options_text_at() - string @index of an array; -EINVAL when it is none */
int options_text_at(const json_t *array, size_t index, const char *where,
		    const char **ret, struct cop_error *err);

/* options_one_line() - -EINVAL when @text has a control character, or one of @forbidden;
 * what is written into files of lines must not make further lines or fields */
int options_one_line(const char *text, const char *where, const char *forbidden,
		     struct cop_error *err);
