/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of users and groups of a tree, edited without any program: lines are changed
 * or added in memory and written back at the end.  Every other line stays as it is.
 */
#pragma once

#include "modkit/kit.h"

enum account_file {
	ACCOUNT_PASSWD,
	ACCOUNT_SHADOW,
	ACCOUNT_GROUP,
	ACCOUNT_GSHADOW,
	ACCOUNT_SUBUID,
	ACCOUNT_SUBGID,
	ACCOUNT_FILES,
};

#define ACCOUNT_NONE   SIZE_MAX
#define ACCOUNT_ID_MAX 4294967294

struct accounts;

/* accounts_open() - read what there is; a file that is missing is empty, and never made
 */
int accounts_open(struct kit *kit, struct accounts **ret);
struct accounts *accounts_free(struct accounts *accounts);
DEFINE_AUTO_PTR(accounts)

/* accounts_has() - does the tree have this file? */
bool accounts_has(const struct accounts *accounts, enum account_file file);

/* accounts_count() - how many lines */
size_t accounts_count(const struct accounts *accounts, enum account_file file);

/* accounts_find() - the index of the first line of @name, or ACCOUNT_NONE */
size_t accounts_find(const struct accounts *accounts, enum account_file file,
		     const char *name);

/* accounts_find_id() - the same by its number, in the third field */
size_t accounts_find_id(const struct accounts *accounts, enum account_file file,
			uint64_t id);

/* accounts_field() - a copy that lives as long as @accounts; "" for a field that is not
 * there; NULL when memory is out */
const char *accounts_field(struct accounts *accounts, enum account_file file, size_t line,
			   unsigned int field);

/* accounts_set() - change one field; accounts_add() - a line more.  Nothing happens in a
 * file that the tree does not have.  Return: 0 or -ENOMEM. */
int accounts_set(struct accounts *accounts, enum account_file file, size_t line,
		 unsigned int field, const char *value);
int accounts_add(struct accounts *accounts, enum account_file file, const char *format,
		 ...) printf_like(3, 4);

/* accounts_next_id() - the number after the highest one in use, as useradd has it;
 * -ENOSPC when all are taken */
int accounts_next_id(struct accounts *accounts, enum account_file file, uint64_t *ret);

/* accounts_next_range() - the first free range of subordinate ids; its length too */
int accounts_next_range(struct accounts *accounts, enum account_file file,
			uint64_t *ret_start, uint64_t *ret_count);

/* accounts_set_members() - @name is in the groups of @names (an array) and, with @only,
 * in no other.  -ENOENT: there is no such group. */
int accounts_set_members(struct accounts *accounts, const char *name, const json_t *names,
			 bool only);

/* accounts_default() - from etc/login.defs, or from etc/default/useradd; @fallback when
 * it is not there; borrowed */
const char *accounts_default(struct accounts *accounts, const char *key,
			     const char *fallback);
const char *accounts_user_default(struct accounts *accounts, const char *key,
				  const char *fallback);
uint64_t accounts_number(struct accounts *accounts, const char *key, uint64_t fallback);

/* accounts_add_group() - in group and gshadow; @password is that of group */
int accounts_add_group(struct accounts *accounts, const char *name, uint64_t gid,
		       const char *password);

/* accounts_check_name() - -EINVAL for what would break a line or a path */
int accounts_check_name(const char *name, const char *what, struct cop_error *err);

/* accounts_save() - write what was changed; files keep their owners and modes */
int accounts_save(struct accounts *accounts);
