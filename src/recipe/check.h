/* SPDX-License-Identifier: Apache-2.0 */
/* What a value may look like, for recipes and locks alike. */
#pragma once

#include "base/defs.h"

bool check_suite(const char *text);
bool check_architecture(const char *text);

/* check_package_name() - as Debian's policy has it, at most 128 bytes */
bool check_package_name(const char *text);

/* check_version() - characters of a package version, at most 256 bytes */
bool check_version(const char *text);

/* check_version_pattern() - the same with '*' for any part */
bool check_version_pattern(const char *text);

/* check_word() - lower-case letters, digits and "-._", not first a mark; 1 to 64 bytes */
bool check_word(const char *text);

/* check_component() - parts of letters, digits and "-._+~" between slashes; 128 bytes */
bool check_component(const char *text);

/* check_repository_suite() - the same, or a directory with '/' at its end, such as "./";
 * never one above */
bool check_repository_suite(const char *text);

/* check_repository_id() - of a lock: a word, or one with '/' and a suite behind it */
bool check_repository_id(const char *text);

/* check_account() - a user's or group's name as adduser takes it, at most 32 bytes */
bool check_account(const char *text);

/* check_hostname() - labels of RFC 1123 joined by dots, at most 64 bytes as in Linux */
bool check_hostname(const char *text);

/* check_relative_path() - parts that are neither empty nor "." nor "..", without control
 * characters; at most 4095 bytes */
bool check_relative_path(const char *text);

/* check_absolute_path() - "/" and the same */
bool check_absolute_path(const char *text);

/* check_date() - "20260912T075541Z" */
bool check_date(const char *text);

/* check_uri() - http:, https: or file: with nothing that needs quoting.  Return: NULL, or
 * what is wrong with it. */
const char *check_uri(const char *text);

/* check_mode() - three or four octal digits; 0 or -EINVAL */
int check_mode(const char *text, unsigned int *ret_mode);

/* check_nearest() - the word of the NULL-terminated list that @text was probably meant to
 * be, or NULL */
const char *check_nearest(const char *text, const char *const *words);
