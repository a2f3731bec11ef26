/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/numbers.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "modules/stages/accounts.h"
#include "modules/stages/renumber.h"
#include "json/json.h"

enum kind { USERS, GROUPS, KINDS };

static const enum account_file files[KINDS] = {ACCOUNT_PASSWD, ACCOUNT_GROUP};
static const char *const words[KINDS] = {"user", "group"};

/* base-passwd's last group, in the midst of the others. */
#define USERS_GROUP "users"

/*
 * @wanted: of the options, borrowed; NULL: nothing is to be done
 * @before: names that are not touched
 * @spare:  names that are new, but not in @wanted
 */
struct numbers {
	struct kit *kit;
	const json_t *wanted;
	json_t *before[KINDS];
	json_t *spare;
	struct renumber map;
};

struct numbers *numbers_free(struct numbers *numbers)
{
	if (!numbers)
		return NULL;
	for (size_t i = 0; i < KINDS; i++)
		json_decref(numbers->before[i]);
	json_decref(numbers->spare);
	free(numbers);
	return NULL;
}

static int check_wanted(struct kit *kit, const json_t *wanted)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)wanted, name, value) {
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number <= NUMBERS_FIRST ||
		    number > NUMBERS_LAST)
			return err_set(kit->err, -EINVAL,
				       "numbers: that of '%s' is not between %d and %d",
				       name, NUMBERS_FIRST + 1, NUMBERS_LAST);
	}
	return 0;
}

/* Calls @each for every line of one file that has a name and a number. */
static int each_account(struct numbers *numbers, struct accounts *accounts,
			enum kind kind,
			int (*each)(struct numbers *numbers, enum kind kind,
				    const char *name, uint64_t number))
{
	const size_t n = accounts_count(accounts, files[kind]);
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		const char *name = accounts_field(accounts, files[kind], i, 0);
		const char *text = accounts_field(accounts, files[kind], i, 2);
		uint64_t number;

		if (!name || !text)
			return err_oom(numbers->kit->err);
		if (*name && text_to_u64(text, &number) == 0)
			r = each(numbers, kind, name, number);
	}
	return r;
}

static int note_before(struct numbers *numbers, enum kind kind, const char *name,
		       uint64_t number)
{
	(void)number;
	return json_object_set_new(numbers->before[kind], name, json_true()) < 0
		       ? err_oom(numbers->kit->err)
		       : 0;
}

int numbers_begin(struct kit *kit, struct numbers **ret)
{
	auto_ptr(numbers) numbers = calloc(1, sizeof(*numbers));
	auto_ptr(accounts) accounts = NULL;
	int r;

	if (!numbers)
		return err_oom(kit->err);
	numbers->kit = kit;
	numbers->wanted = json_object_get(kit->options, "numbers");
	if (!numbers->wanted) {
		*ret = TAKE_PTR(numbers);
		return 0;
	}
	numbers->spare = json_object();
	for (size_t i = 0; i < KINDS; i++) {
		numbers->before[i] = json_object();
		if (!numbers->before[i] || !numbers->spare)
			return err_oom(kit->err);
	}
	r = check_wanted(kit, numbers->wanted);
	if (r == 0)
		r = accounts_open(kit, &accounts);
	for (enum kind kind = USERS; kind < KINDS && r == 0; kind++)
		r = each_account(numbers, accounts, kind, note_before);
	if (r == 0)
		*ret = TAKE_PTR(numbers);
	return r;
}

static uint32_t *moved(struct numbers *numbers, enum kind kind)
{
	return kind == USERS ? numbers->map.users : numbers->map.groups;
}

static bool may_move(const struct numbers *numbers, enum kind kind, const char *name,
		     uint64_t number)
{
	return number >= NUMBERS_FIRST && number <= NUMBERS_LAST &&
	       !json_object_get(numbers->before[kind], name) &&
	       (kind == USERS || strcmp(name, USERS_GROUP) != 0);
}

static int note_new(struct numbers *numbers, enum kind kind, const char *name,
		    uint64_t number)
{
	const json_t *wanted = json_object_get(numbers->wanted, name);
	uint32_t *to = moved(numbers, kind);

	if (!may_move(numbers, kind, name, number))
		return 0;
	if (!wanted)
		return json_object_set_new(numbers->spare, name, json_true()) < 0
			       ? err_oom(numbers->kit->err)
			       : 0;
	/* Names that share a number go on doing so. */
	if (!to[number])
		to[number] = (uint32_t)json_integer_value(wanted);
	return 0;
}

/* --- names that the lock does not know --- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* FNV-1a: short names, and the same on every machine. */
static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

/* Free when nobody has it who keeps it, and nobody is to have it. */
static bool is_free(struct numbers *numbers, struct accounts *accounts, uint64_t number)
{
	for (enum kind kind = USERS; kind < KINDS; kind++) {
		uint32_t *to = moved(numbers, kind);
		size_t line = accounts_find_id(accounts, files[kind], number);
		const char *name =
			line == ACCOUNT_NONE
				? NULL
				: accounts_field(accounts, files[kind], line, 0);

		if (name && !to[number] && !json_object_get(numbers->spare, name))
			return false;
		for (size_t i = NUMBERS_FIRST; i <= NUMBERS_LAST; i++)
			if (to[i] == number)
				return false;
	}
	return true;
}

static int place_spare(struct numbers *numbers, struct accounts *accounts,
		       const char *name)
{
	const uint32_t room = NUMBERS_LAST + 1 - NUMBERS_SPARE;
	uint32_t at = hash_name(name) % room, n = 0;

	while (n < room && !is_free(numbers, accounts, NUMBERS_SPARE + at)) {
		at = (at + 1) % room;
		n++;
	}
	if (n == room)
		return err_set(numbers->kit->err, -ENOSPC,
			       "no number is left for '%s', which the lock does not know",
			       name);
	for (enum kind kind = USERS; kind < KINDS; kind++) {
		size_t line = accounts_find(accounts, files[kind], name);
		const char *text =
			line == ACCOUNT_NONE
				? ""
				: accounts_field(accounts, files[kind], line, 2);
		uint64_t number;

		if (!text)
			return err_oom(numbers->kit->err);
		if (text_to_u64(text, &number) == 0 &&
		    may_move(numbers, kind, name, number) &&
		    !moved(numbers, kind)[number])
			moved(numbers, kind)[number] = NUMBERS_SPARE + at;
	}
	kit_log("'%s' has no number in the lock, it is %u by its letters", name,
		(unsigned int)(NUMBERS_SPARE + at));
	return 0;
}

static int place_spares(struct numbers *numbers, struct accounts *accounts)
{
	size_t n = json_object_size(numbers->spare), i = 0;
	auto_free const char **names = calloc(n + 1, sizeof(*names));
	const char *name;
	json_t *value;
	int r = 0;

	if (!names)
		return err_oom(numbers->kit->err);
	json_object_foreach (numbers->spare, name, value) {
		if (value && i < n)
			names[i++] = name;
	}
	qsort(names, i, sizeof(*names), compare);
	for (size_t k = 0; k < i && r == 0; k++)
		r = place_spare(numbers, accounts, names[k]);
	return r;
}

/* --- the whole --- */

/* Nobody may get a number that somebody else keeps. */
static int check_free(struct numbers *numbers, struct accounts *accounts, enum kind kind)
{
	const uint32_t *to = moved(numbers, kind);

	for (size_t i = NUMBERS_FIRST; i <= NUMBERS_LAST; i++) {
		size_t line;
		const char *name;

		if (!to[i] || to[i] == i || to[to[i]])
			continue;
		line = accounts_find_id(accounts, files[kind], to[i]);
		if (line == ACCOUNT_NONE)
			continue;
		name = accounts_field(accounts, files[kind], line, 0);
		return err_set(numbers->kit->err, -EEXIST,
			       "%s '%s' has the number %u, which the lock gave to "
			       "another",
			       words[kind], name ? name : "?", (unsigned int)to[i]);
	}
	return 0;
}

static int rewrite_field(struct accounts *accounts, enum account_file file, size_t line,
			 unsigned int field, const uint32_t *to)
{
	const char *text = accounts_field(accounts, file, line, field);
	char digits[16];
	uint64_t number;

	if (!text)
		return -ENOMEM;
	if (text_to_u64(text, &number) < 0 || number > NUMBERS_LAST || !to[number])
		return 0;
	(void)snprintf(digits, sizeof(digits), "%u", (unsigned int)to[number]);
	return accounts_set(accounts, file, line, field, digits);
}

static int rewrite_files(struct numbers *numbers, struct accounts *accounts)
{
	const size_t n_users = accounts_count(accounts, ACCOUNT_PASSWD);
	const size_t n_groups = accounts_count(accounts, ACCOUNT_GROUP);
	int r = 0;

	for (size_t i = 0; i < n_users && r == 0; i++) {
		r = rewrite_field(accounts, ACCOUNT_PASSWD, i, 2, numbers->map.users);
		if (r == 0)
			r = rewrite_field(accounts, ACCOUNT_PASSWD, i, 3,
					  numbers->map.groups);
	}
	for (size_t i = 0; i < n_groups && r == 0; i++)
		r = rewrite_field(accounts, ACCOUNT_GROUP, i, 2, numbers->map.groups);
	return r < 0 ? err_oom(numbers->kit->err) : accounts_save(accounts);
}

/* Whoever has the right number already needs nothing. */
static bool forget_unmoved(struct numbers *numbers)
{
	bool any = false;

	for (enum kind kind = USERS; kind < KINDS; kind++) {
		uint32_t *to = moved(numbers, kind);

		for (uint32_t i = NUMBERS_FIRST; i <= NUMBERS_LAST; i++) {
			if (to[i] == i)
				to[i] = 0;
			any |= to[i] != 0;
		}
	}
	return any;
}

int numbers_settle(struct numbers *numbers)
{
	auto_ptr(accounts) accounts = NULL;
	struct kit *kit = numbers->kit;
	int r;

	if (!numbers->wanted)
		return 0;
	r = accounts_open(kit, &accounts);
	for (enum kind kind = USERS; kind < KINDS && r == 0; kind++)
		r = each_account(numbers, accounts, kind, note_new);
	if (r == 0)
		r = place_spares(numbers, accounts);
	for (enum kind kind = USERS; kind < KINDS && r == 0; kind++)
		r = check_free(numbers, accounts, kind);
	if (r < 0 || !forget_unmoved(numbers))
		return r;
	r = renumber_tree(kit->tree_fd, &numbers->map, kit->err);
	return r == 0 ? rewrite_files(numbers, accounts) : r;
}
