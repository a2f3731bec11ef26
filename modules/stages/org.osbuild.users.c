/* SPDX-License-Identifier: Apache-2.0 */
/* Users, as useradd and usermod would make and change them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "modkit/options.h"
#include "modules/stages/accounts.h"
#include "modules/stages/home.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define DAY   86400
#define UNSET INT64_MIN

/* Fields of passwd(5) and shadow(5). */
enum {
	PASSWD_PASSWORD = 1,
	PASSWD_UID,
	PASSWD_GID,
	PASSWD_COMMENT,
	PASSWD_HOME,
	PASSWD_SHELL
};
enum { SHADOW_PASSWORD = 1, SHADOW_CHANGED, SHADOW_EXPIRES = 7 };

struct wish {
	const char *name;
	int64_t uid, gid, expires;
	const char *comment, *home, *shell, *password, *key;
	json_t *groups, *keys;
	bool reset;
};

struct adding {
	struct kit *kit;
	struct accounts *accounts;
	long long today; /* days since 1970 */
};

static int read_wish(struct kit *kit, const json_t *json, struct wish *wish)
{
	const struct option options[] = {
		OPTION_INTEGER("uid", wish->uid),
		OPTION_INTEGER("gid", wish->gid),
		OPTION_ARRAY("groups", wish->groups),
		OPTION_TEXT("description", wish->comment),
		OPTION_TEXT("home", wish->home),
		OPTION_TEXT("shell", wish->shell),
		OPTION_TEXT("password", wish->password),
		OPTION_TEXT("key", wish->key),
		OPTION_ARRAY("keys", wish->keys),
		OPTION_INTEGER("expiredate", wish->expires),
		OPTION_FLAG("force_password_reset", wish->reset),
	};
	int r = options_read(json, wish->name, options, ARRAY_SIZE(options), kit->err);

	if (r == 0)
		r = accounts_check_name(wish->name, "user", kit->err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		if (options[i].text && *options[i].text && options[i].text != &wish->key)
			r = options_one_line(*options[i].text, options[i].key, ":",
					     kit->err);
	if (r < 0)
		return r;
	if ((wish->uid != UNSET && (wish->uid < 0 || wish->uid > ACCOUNT_ID_MAX)) ||
	    (wish->gid != UNSET && (wish->gid < 0 || wish->gid > ACCOUNT_ID_MAX)))
		return err_set(kit->err, -EINVAL, "user '%s': uid or gid is none",
			       wish->name);
	if (wish->expires != UNSET && wish->expires < -1)
		return err_set(kit->err, -EINVAL,
			       "user '%s': expiredate %lld is not a day since 1970",
			       wish->name, (long long)wish->expires);
	return 0;
}

static int check_group(const struct adding *adding, const struct wish *wish)
{
	if (wish->gid == UNSET || accounts_find_id(adding->accounts, ACCOUNT_GROUP,
						   (uint64_t)wish->gid) != ACCOUNT_NONE)
		return 0;
	return err_set(adding->kit->err, -ENOENT,
		       "user '%s': the tree has no group with the gid %lld", wish->name,
		       (long long)wish->gid);
}

/* The main group of a new user, made where users have one of their own. */
static int main_group(const struct adding *adding, const struct wish *wish, uint64_t uid,
		      uint64_t *ret_gid)
{
	struct accounts *accounts = adding->accounts;
	const uint64_t min = accounts_number(accounts, "GID_MIN", 1000),
		       max = accounts_number(accounts, "GID_MAX", 60000);
	uint64_t gid = uid;
	int r = 0;

	if (wish->gid != UNSET) {
		*ret_gid = (uint64_t)wish->gid;
		return 0;
	}
	if (strcmp(accounts_default(accounts, "USERGROUPS_ENAB", "no"), "yes") != 0) {
		gid = strtoull(accounts_user_default(accounts, "GROUP", "100"), NULL, 10);
		*ret_gid = gid;
		return 0;
	}
	if (accounts_find(accounts, ACCOUNT_GROUP, wish->name) != ACCOUNT_NONE)
		return err_set(adding->kit->err, -EEXIST,
			       "user '%s': there is a group of that name already; name "
			       "it by 'gid' to have the user in it",
			       wish->name);
	if (gid < min || gid > max ||
	    accounts_find_id(accounts, ACCOUNT_GROUP, gid) != ACCOUNT_NONE)
		r = accounts_next_id(accounts, ACCOUNT_GROUP, &gid);
	if (r < 0)
		return r;
	*ret_gid = gid;
	return accounts_add_group(accounts, wish->name, gid,
				  accounts_has(accounts, ACCOUNT_GSHADOW) ? "x" : "!");
}

static int add_ranges(const struct adding *adding, const char *name, uint64_t uid)
{
	static const enum account_file files[] = {ACCOUNT_SUBUID, ACCOUNT_SUBGID};
	struct accounts *accounts = adding->accounts;
	uint64_t start = 0, count = 0;
	int r = 0;

	if (uid < accounts_number(accounts, "UID_MIN", 1000) ||
	    uid > accounts_number(accounts, "UID_MAX", 60000))
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
		if (!accounts_has(accounts, files[i]) ||
		    accounts_find(accounts, files[i], name) != ACCOUNT_NONE)
			continue;
		r = accounts_next_range(accounts, files[i], &start, &count);
		if (r == 0 && count > 0)
			r = accounts_add(accounts, files[i], "%s:%llu:%llu", name,
					 (unsigned long long)start,
					 (unsigned long long)count);
	}
	return r;
}

static int add_shadow(const struct adding *adding, const struct wish *wish)
{
	struct accounts *accounts = adding->accounts;
	char expires[24] = "";

	if (wish->expires != UNSET && wish->expires >= 0)
		(void)snprintf(expires, sizeof(expires), "%lld",
			       (long long)wish->expires);
	return accounts_add(accounts, ACCOUNT_SHADOW,
			    "%s:%s:%lld:%s:%s:%s:%s:%s:", wish->name,
			    wish->password ? wish->password : "!", adding->today,
			    accounts_default(accounts, "PASS_MIN_DAYS", ""),
			    accounts_default(accounts, "PASS_MAX_DAYS", ""),
			    accounts_default(accounts, "PASS_WARN_AGE", ""),
			    accounts_user_default(accounts, "INACTIVE", ""), expires);
}

static int add_user(const struct adding *adding, const struct wish *wish)
{
	struct accounts *accounts = adding->accounts;
	const bool has_shadow = accounts_has(accounts, ACCOUNT_SHADOW);
	const char *password = wish->password ? wish->password : "!";
	const char *shell = accounts_user_default(accounts, "SHELL", "/bin/bash");
	auto_free char *home = NULL;
	uint64_t uid = (uint64_t)wish->uid, gid = 0;
	bool make_home = wish->home && *wish->home;
	int r = check_group(adding, wish);

	if (r == 0 && wish->uid == UNSET)
		r = accounts_next_id(accounts, ACCOUNT_PASSWD, &uid);
	if (r == 0)
		r = main_group(adding, wish, uid, &gid);
	if (r < 0)
		return r;
	if (asprintf(&home, "%s%s%s",
		     make_home ? wish->home
			       : accounts_user_default(accounts, "HOME", "/home"),
		     make_home ? "" : "/", make_home ? "" : wish->name) < 0) {
		home = NULL;
		return err_oom(adding->kit->err);
	}
	r = accounts_add(accounts, ACCOUNT_PASSWD, "%s:%s:%llu:%llu:%s:%s:%s", wish->name,
			 has_shadow ? "x" : password, (unsigned long long)uid,
			 (unsigned long long)gid, wish->comment ? wish->comment : "",
			 home, wish->shell && *wish->shell ? wish->shell : shell);
	if (r == 0)
		r = add_shadow(adding, wish);
	if (r == 0)
		r = accounts_set_members(accounts, wish->name, wish->groups, false);
	if (r == 0)
		r = add_ranges(adding, wish->name, uid);
	if (!wish->home)
		make_home = strcmp(accounts_default(accounts, "CREATE_HOME", "no"),
				   "yes") == 0;
	return r == 0 && make_home
		       ? home_make(adding->kit, accounts, home, (uid_t)uid, (gid_t)gid)
		       : r;
}

static int set_password(const struct adding *adding, size_t user, const struct wish *wish)
{
	struct accounts *accounts = adding->accounts;
	size_t line = accounts_find(accounts, ACCOUNT_SHADOW, wish->name);
	char today[24];
	int r;

	if (!wish->password)
		return 0;
	if (!accounts_has(accounts, ACCOUNT_SHADOW))
		return accounts_set(accounts, ACCOUNT_PASSWD, user, PASSWD_PASSWORD,
				    wish->password);
	r = accounts_set(accounts, ACCOUNT_PASSWD, user, PASSWD_PASSWORD, "x");
	if (r < 0)
		return r;
	if (line == ACCOUNT_NONE)
		return add_shadow(adding, wish);
	(void)snprintf(today, sizeof(today), "%lld", adding->today);
	r = accounts_set(accounts, ACCOUNT_SHADOW, line, SHADOW_PASSWORD, wish->password);
	return r == 0 ? accounts_set(accounts, ACCOUNT_SHADOW, line, SHADOW_CHANGED,
				     today)
		      : r;
}

static int set_shadow(const struct adding *adding, const char *name, unsigned int field,
		      int64_t value)
{
	struct accounts *accounts = adding->accounts;
	size_t line = accounts_find(accounts, ACCOUNT_SHADOW, name);
	char text[24] = "";

	if (line == ACCOUNT_NONE)
		return err_set(adding->kit->err, -ENOENT,
			       "user '%s': the tree's etc/shadow does not have it", name);
	if (value >= 0)
		(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	return accounts_set(accounts, ACCOUNT_SHADOW, line, field, text);
}

/* The main group changes, and with it the group of what the user has at home. */
static int set_main_group(const struct adding *adding, size_t user,
			  const struct wish *wish)
{
	char gid[24];
	int r = check_group(adding, wish);

	if (r < 0 || wish->gid == UNSET)
		return r;
	(void)snprintf(gid, sizeof(gid), "%lld", (long long)wish->gid);
	return accounts_set(adding->accounts, ACCOUNT_PASSWD, user, PASSWD_GID, gid);
}

static int change_user(const struct adding *adding, size_t user, const struct wish *wish)
{
	struct accounts *accounts = adding->accounts;
	uint64_t uid = (uint64_t)wish->uid;
	int r;

	if (wish->uid != UNSET && accounts_find_id(accounts, ACCOUNT_PASSWD, uid) != user)
		return err_set(adding->kit->err, -EEXIST,
			       "user '%s' exists: its uid cannot be changed to %lld",
			       wish->name, (long long)wish->uid);
	r = set_main_group(adding, user, wish);
	if (r == 0 && json_array_size(wish->groups) > 0)
		r = accounts_set_members(accounts, wish->name, wish->groups, true);
	if (r == 0 && wish->comment)
		r = accounts_set(accounts, ACCOUNT_PASSWD, user, PASSWD_COMMENT,
				 wish->comment);
	if (r == 0 && wish->home && *wish->home)
		r = accounts_set(accounts, ACCOUNT_PASSWD, user, PASSWD_HOME, wish->home);
	if (r == 0 && wish->shell && *wish->shell)
		r = accounts_set(accounts, ACCOUNT_PASSWD, user, PASSWD_SHELL,
				 wish->shell);
	if (r == 0)
		r = set_password(adding, user, wish);
	if (r == 0 && wish->expires != UNSET)
		r = set_shadow(adding, wish->name, SHADOW_EXPIRES, wish->expires);
	return r;
}

/* What is outside of the account files: the home that must be there, and keys in it. */
static int finish_home(const struct adding *adding, const struct wish *wish, bool is_new)
{
	struct accounts *accounts = adding->accounts;
	size_t user = accounts_find(accounts, ACCOUNT_PASSWD, wish->name);
	const char *home = accounts_field(accounts, ACCOUNT_PASSWD, user, PASSWD_HOME);
	const char *uid_text = accounts_field(accounts, ACCOUNT_PASSWD, user, PASSWD_UID);
	const char *gid_text = accounts_field(accounts, ACCOUNT_PASSWD, user, PASSWD_GID);
	uid_t uid;
	gid_t gid;
	int r = 0;

	if (!home || !uid_text || !gid_text)
		return err_oom(adding->kit->err);
	uid = (uid_t)strtoull(uid_text, NULL, 10);
	gid = (gid_t)strtoull(gid_text, NULL, 10);
	if (!is_new && *home)
		r = home_make(adding->kit, accounts, home, uid, gid);
	if (r == 0)
		r = home_add_keys(adding->kit, home, wish->keys, wish->key, uid, gid);
	return r < 0 ? err_prefix(adding->kit->err, r, "user '%s'", wish->name) : 0;
}

static int apply(const struct adding *adding, const char *name, const json_t *json)
{
	struct wish wish = {.name = name, .uid = UNSET, .gid = UNSET, .expires = UNSET};
	size_t user;
	int r = read_wish(adding->kit, json, &wish);

	if (r < 0)
		return r;
	user = accounts_find(adding->accounts, ACCOUNT_PASSWD, name);
	r = user == ACCOUNT_NONE ? add_user(adding, &wish)
				 : change_user(adding, user, &wish);
	if (r == 0 && wish.reset)
		r = set_shadow(adding, name, SHADOW_CHANGED, 0);
	return r == 0 ? finish_home(adding, &wish, user == ACCOUNT_NONE) : r;
}

int stage_users(struct kit *kit)
{
	json_t *users = NULL, *user;
	const struct option options[] = {NEEDED_OBJECT("users", users)};
	auto_ptr(accounts) accounts = NULL;
	struct adding adding = {.kit = kit};
	const char *name;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = accounts_open(kit, &accounts);
	if (r == 0 && !(accounts_has(accounts, ACCOUNT_PASSWD) &&
			accounts_has(accounts, ACCOUNT_GROUP)))
		r = err_set(kit->err, -ENOENT,
			    "the tree has no etc/passwd or no etc/group");
	if (r < 0)
		return r;
	adding.accounts = accounts;
	adding.today = (kit->source_epoch >= 0 ? kit->source_epoch : time(NULL)) / DAY;
	json_object_foreach (users, name, user) {
		r = apply(&adding, name, user);
		if (r < 0)
			return r;
	}
	return accounts_save(accounts);
}
