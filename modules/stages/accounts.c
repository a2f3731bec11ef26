/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/accounts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/accounts-text.h"

#define FILE_SIZE_MAX (16 * MIB)

struct lines {
	const char **all;
	size_t n;
	bool exists, changed;
};

struct accounts {
	struct kit *kit;
	struct arena *arena;
	struct lines files[ACCOUNT_FILES];
	struct buf login, useradd; /* the two files of defaults */
};

static const char *const paths[ACCOUNT_FILES] = {
	[ACCOUNT_PASSWD] = "etc/passwd", [ACCOUNT_SHADOW] = "etc/shadow",
	[ACCOUNT_GROUP] = "etc/group",	 [ACCOUNT_GSHADOW] = "etc/gshadow",
	[ACCOUNT_SUBUID] = "etc/subuid", [ACCOUNT_SUBGID] = "etc/subgid",
};

struct accounts *accounts_free(struct accounts *accounts)
{
	if (!accounts)
		return NULL;
	for (size_t i = 0; i < ACCOUNT_FILES; i++)
		free(accounts->files[i].all);
	buf_done(&accounts->login);
	buf_done(&accounts->useradd);
	(void)arena_free(accounts->arena);
	free(accounts);
	return NULL;
}

static int append_line(struct accounts *accounts, struct lines *lines, const char *line,
		       size_t size)
{
	const char **all = reallocarray(lines->all, lines->n + 1, sizeof(*lines->all));
	const char *copy = arena_memdup(accounts->arena, line, size);

	if (all)
		lines->all = all;
	if (!all || !copy)
		return err_oom(accounts->kit->err);
	all[lines->n++] = copy;
	return 0;
}

static int load(struct accounts *accounts, enum account_file file)
{
	struct lines *lines = &accounts->files[file];
	struct cop_error *err = accounts->kit->err;
	auto_buf text = {};
	int r = root_read(accounts->kit->tree_fd, paths[file], FILE_SIZE_MAX, &text, err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (strlen(buf_text(&text)) != text.size)
		return err_set(err, -EBADMSG, "the tree's '%s' holds a NUL", paths[file]);
	lines->exists = true;
	for (const char *at = buf_text(&text); r == 0 && *at;) {
		size_t size = strcspn(at, "\n");

		r = append_line(accounts, lines, at, size);
		at += size;
		at += *at == '\n';
	}
	return r;
}

static int load_defaults(struct accounts *accounts)
{
	struct kit *kit = accounts->kit;
	int r = root_read(kit->tree_fd, "etc/login.defs", FILE_SIZE_MAX, &accounts->login,
			  kit->err);

	if (r < 0 && r != -ENOENT)
		return r;
	r = root_read(kit->tree_fd, "etc/default/useradd", FILE_SIZE_MAX,
		      &accounts->useradd, kit->err);
	return r == -ENOENT ? 0 : r;
}

int accounts_open(struct kit *kit, struct accounts **ret)
{
	auto_ptr(accounts) accounts = calloc(1, sizeof(*accounts));
	int r = 0;

	if (!accounts)
		return err_oom(kit->err);
	accounts->kit = kit;
	accounts->arena = arena_new();
	if (!accounts->arena)
		return err_oom(kit->err);
	for (size_t i = 0; r == 0 && i < ACCOUNT_FILES; i++)
		r = load(accounts, (enum account_file)i);
	if (r == 0)
		r = load_defaults(accounts);
	if (r == 0)
		*ret = TAKE_PTR(accounts);
	return r;
}

bool accounts_has(const struct accounts *accounts, enum account_file file)
{
	return accounts->files[file].exists;
}

size_t accounts_count(const struct accounts *accounts, enum account_file file)
{
	return accounts->files[file].n;
}

size_t accounts_find(const struct accounts *accounts, enum account_file file,
		     const char *name)
{
	const struct lines *lines = &accounts->files[file];
	size_t size = strlen(name);

	for (size_t i = 0; i < lines->n; i++)
		if (strncmp(lines->all[i], name, size) == 0 && lines->all[i][size] == ':')
			return i;
	return ACCOUNT_NONE;
}

size_t accounts_find_id(const struct accounts *accounts, enum account_file file,
			uint64_t id)
{
	const struct lines *lines = &accounts->files[file];
	uint64_t found;

	for (size_t i = 0; i < lines->n; i++)
		if (account_number(lines->all[i], 2, &found) == 0 && found == id)
			return i;
	return ACCOUNT_NONE;
}

const char *accounts_field(struct accounts *accounts, enum account_file file, size_t line,
			   unsigned int field)
{
	size_t size;
	const char *at = account_field(accounts->files[file].all[line], field, &size);

	return arena_memdup(accounts->arena, at, size);
}

int accounts_set(struct accounts *accounts, enum account_file file, size_t line,
		 unsigned int field, const char *value)
{
	struct lines *lines = &accounts->files[file];
	const char *old, *copy;
	auto_buf text = {};
	size_t size;

	if (!lines->exists || line == ACCOUNT_NONE)
		return 0;
	old = lines->all[line];
	/* A line that is too short gets the fields that it lacks. */
	(void)buf_append_text(&text, old);
	for (unsigned int n = account_n_fields(old); n <= field; n++)
		(void)buf_append_char(&text, ':');
	copy = text.failed ? NULL : arena_memdup(accounts->arena, text.data, text.size);
	if (!copy)
		return err_oom(accounts->kit->err);
	buf_truncate(&text, 0);
	old = account_field(copy, field, &size);
	(void)buf_append(&text, copy, (size_t)(old - copy));
	(void)buf_append_text(&text, value);
	(void)buf_append_text(&text, old + size);
	lines->all[line] =
		text.failed ? copy : arena_memdup(accounts->arena, text.data, text.size);
	if (text.failed || !lines->all[line]) {
		lines->all[line] = copy;
		return err_oom(accounts->kit->err);
	}
	lines->changed = true;
	return 0;
}

int accounts_add(struct accounts *accounts, enum account_file file, const char *format,
		 ...)
{
	struct lines *lines = &accounts->files[file];
	auto_free char *line = NULL;
	va_list ap;
	int n;

	if (!lines->exists)
		return 0;
	va_start(ap, format);
	n = vasprintf(&line, format, ap);
	va_end(ap);
	if (n < 0) {
		line = NULL;
		return err_oom(accounts->kit->err);
	}
	lines->changed = true;
	return append_line(accounts, lines, line, (size_t)n);
}

int accounts_next_id(struct accounts *accounts, enum account_file file, uint64_t *ret)
{
	const bool is_user = file == ACCOUNT_PASSWD;
	const uint64_t min = accounts_number(accounts, is_user ? "UID_MIN" : "GID_MIN",
					     1000),
		       max = accounts_number(accounts, is_user ? "UID_MAX" : "GID_MAX",
					     60000);
	const struct lines *lines = &accounts->files[file];
	uint64_t next = min, id;

	for (size_t i = 0; i < lines->n; i++)
		if (account_number(lines->all[i], 2, &id) == 0 && id >= next && id <= max)
			next = id + 1;
	/* Past the end the gaps are filled. */
	for (id = min; next > max && id <= max; id++)
		if (accounts_find_id(accounts, file, id) == ACCOUNT_NONE)
			next = id;
	if (next > max || next > ACCOUNT_ID_MAX)
		return err_set(accounts->kit->err, -ENOSPC,
			       "the tree's '%s' has no number left from %llu to %llu",
			       paths[file], (unsigned long long)min,
			       (unsigned long long)max);
	*ret = next;
	return 0;
}

/* Is something of [start, start + count) taken?  Then *ret_end is behind what takes it.
 */
static bool range_is_taken(const struct lines *lines, uint64_t start, uint64_t count,
			   uint64_t *ret_end)
{
	uint64_t first, n;

	for (size_t i = 0; i < lines->n; i++) {
		if (account_number(lines->all[i], 1, &first) < 0 ||
		    account_number(lines->all[i], 2, &n) < 0 || n == 0)
			continue;
		if (first < start + count && start < first + n) {
			*ret_end = first + n;
			return true;
		}
	}
	return false;
}

int accounts_next_range(struct accounts *accounts, enum account_file file,
			uint64_t *ret_start, uint64_t *ret_count)
{
	const bool is_user = file == ACCOUNT_SUBUID;
	uint64_t start = accounts_number(accounts,
					 is_user ? "SUB_UID_MIN" : "SUB_GID_MIN", 100000),
		 max = accounts_number(accounts, is_user ? "SUB_UID_MAX" : "SUB_GID_MAX",
				       600100000),
		 count = accounts_number(
			 accounts, is_user ? "SUB_UID_COUNT" : "SUB_GID_COUNT", 65536);

	while (count > 0 && range_is_taken(&accounts->files[file], start, count, &start))
		;
	if (start + count > max + 1)
		return err_set(accounts->kit->err, -ENOSPC,
			       "the tree's '%s' has no range of %llu numbers left",
			       paths[file], (unsigned long long)count);
	*ret_start = start;
	*ret_count = count;
	return 0;
}

static int set_member(struct accounts *accounts, enum account_file file, size_t line,
		      const char *name, bool is_member)
{
	const char *members;
	auto_buf list = {};

	if (!accounts_has(accounts, file) || line == ACCOUNT_NONE)
		return 0;
	members = accounts_field(accounts, file, line, 3);
	if (!members)
		return err_oom(accounts->kit->err);
	if (account_is_member(members, name) == is_member)
		return 0;
	if (is_member)
		(void)buf_printf(&list, "%s%s%s", members, *members ? "," : "", name);
	else
		account_remove_member(members, name, &list);
	return list.failed ? err_oom(accounts->kit->err)
			   : accounts_set(accounts, file, line, 3, buf_text(&list));
}

/* A group by name or, as shadow's programs take it, by number. */
static size_t find_group(struct accounts *accounts, const char *group)
{
	size_t line = accounts_find(accounts, ACCOUNT_GROUP, group);
	uint64_t gid;

	if (line == ACCOUNT_NONE && text_to_u64(group, &gid) == 0)
		line = accounts_find_id(accounts, ACCOUNT_GROUP, gid);
	return line;
}

static int join(struct accounts *accounts, const char *name, const char *group)
{
	size_t line = find_group(accounts, group);
	const char *group_name;
	int r;

	if (line == ACCOUNT_NONE)
		return err_set(accounts->kit->err, -ENOENT,
			       "user '%s': the tree has no group '%s'", name, group);
	group_name = accounts_field(accounts, ACCOUNT_GROUP, line, 0);
	if (!group_name)
		return err_oom(accounts->kit->err);
	r = set_member(accounts, ACCOUNT_GROUP, line, name, true);
	if (r < 0)
		return r;
	line = accounts_find(accounts, ACCOUNT_GSHADOW, group_name);
	return set_member(accounts, ACCOUNT_GSHADOW, line, name, true);
}

int accounts_set_members(struct accounts *accounts, const char *name, const json_t *names,
			 bool only)
{
	static const enum account_file files[] = {ACCOUNT_GROUP, ACCOUNT_GSHADOW};
	int r = 0;

	for (size_t f = 0; only && f < ARRAY_SIZE(files); f++)
		for (size_t i = 0; r == 0 && i < accounts->files[files[f]].n; i++)
			r = set_member(accounts, files[f], i, name, false);
	for (size_t i = 0; r == 0 && i < json_array_size(names); i++) {
		const char *group = NULL;

		r = options_text_at(names, i, "groups", &group, accounts->kit->err);
		if (r == 0)
			r = join(accounts, name, group);
	}
	return r;
}

const char *accounts_default(struct accounts *accounts, const char *key,
			     const char *fallback)
{
	const char *value =
		account_setting(buf_text(&accounts->login), key, " \t", accounts->arena);

	return value ? value : fallback;
}

const char *accounts_user_default(struct accounts *accounts, const char *key,
				  const char *fallback)
{
	const char *value =
		account_setting(buf_text(&accounts->useradd), key, "=", accounts->arena);

	return value ? value : fallback;
}

uint64_t accounts_number(struct accounts *accounts, const char *key, uint64_t fallback)
{
	uint64_t value;

	return text_to_u64(accounts_default(accounts, key, ""), &value) == 0 ? value
									     : fallback;
}

int accounts_add_group(struct accounts *accounts, const char *name, uint64_t gid,
		       const char *password)
{
	int r = accounts_add(accounts, ACCOUNT_GROUP, "%s:%s:%llu:", name, password,
			     (unsigned long long)gid);

	return r == 0 ? accounts_add(accounts, ACCOUNT_GSHADOW, "%s:!::", name) : r;
}

int accounts_check_name(const char *name, const char *what, struct cop_error *err)
{
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strchr("-+~", *name))
		return err_set(err, -EINVAL, "'%s' is not a name of a %s", name, what);
	return options_one_line(name, what, ":,/ ", err);
}

int accounts_save(struct accounts *accounts)
{
	struct kit *kit = accounts->kit;
	int r = 0;

	for (size_t f = 0; r == 0 && f < ACCOUNT_FILES; f++) {
		struct lines *lines = &accounts->files[f];
		auto_buf text = {};

		if (!lines->changed)
			continue;
		for (size_t i = 0; i < lines->n; i++)
			(void)buf_printf(&text, "%s\n", lines->all[i]);
		r = text.failed ? err_oom(kit->err)
				: root_write(kit->tree_fd, paths[f], buf_text(&text),
					     text.size, 0644, kit->err);
		lines->changed = false;
	}
	return r;
}
