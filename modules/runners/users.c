/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups of sysusers.d.  Numbers that nobody asked for are given from the top,
 * groups first, and a user gets that of its group: as systemd-sysusers gives them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/text.h"
#include "modules/runners/runners.h"

#define ID_MAX	     999
#define ACCOUNTS_MAX 2000
#define NOLOGIN	     "/usr/sbin/nologin"

struct account {
	char name[64];
	int64_t uid, gid; /* -1: none asked for */
	char group[64];	  /* of a user, where it has another's */
	char gecos[256], home[256], shell[128];
	bool is_user;
	struct buf members; /* of a group, each with a comma before it */
};

struct accounts {
	struct account *all;
	size_t n;
};

static void accounts_done(struct accounts *accounts)
{
	for (size_t i = 0; i < accounts->n; i++)
		buf_done(&accounts->all[i].members);
	free(accounts->all);
}

static struct account *find(const struct accounts *accounts, const char *name,
			    bool is_user)
{
	for (size_t i = 0; i < accounts->n; i++)
		if (accounts->all[i].is_user == is_user &&
		    strcmp(accounts->all[i].name, name) == 0)
			return &accounts->all[i];
	return NULL;
}

static bool name_is_valid(const char *name)
{
	return *name && strlen(name) < 32 && !strpbrk(name, ":/,\n");
}

/* The first line about a name counts.  Return: NULL when there is one, or no room. */
static struct account *add(struct accounts *accounts, const char *name, bool is_user)
{
	struct account *account;

	if (!name_is_valid(name) || find(accounts, name, is_user) ||
	    accounts->n == ACCOUNTS_MAX)
		return NULL;
	if (!accounts->all)
		accounts->all = calloc(ACCOUNTS_MAX, sizeof(*accounts->all));
	if (!accounts->all)
		return NULL;
	account = &accounts->all[accounts->n++];
	(void)snprintf(account->name, sizeof(account->name), "%s", name);
	account->is_user = is_user;
	account->uid = account->gid = -1;
	return account;
}

static int64_t number(const char *text)
{
	uint64_t value;

	return text_to_u64(text, &value) == 0 && value < UINT32_MAX ? (int64_t)value : -1;
}

/* "7", "7:8", "7:group", or the path of a file whose owner it is, which is not there. */
static void take_id(struct account *account, char *id)
{
	char *colon = strchr(id, ':');

	if (colon)
		*colon++ = '\0';
	account->uid = number(id);
	if (!account->is_user)
		account->gid = account->uid;
	if (colon && number(colon) >= 0)
		account->gid = number(colon);
	else if (colon)
		(void)snprintf(account->group, sizeof(account->group), "%s", colon);
}

static void take_user(struct accounts *accounts, char *words[RUNNER_WORDS])
{
	struct account *user = add(accounts, words[1], true);
	bool is_root;

	if (!user)
		return;
	take_id(user, words[2]);
	is_root = user->uid == 0;
	(void)snprintf(user->gecos, sizeof(user->gecos), "%s", words[3]);
	(void)snprintf(user->home, sizeof(user->home), "%s",
		       *words[4] ? words[4]
		       : is_root ? "/root"
				 : "/");
	(void)snprintf(user->shell, sizeof(user->shell), "%s",
		       *words[5] ? words[5]
		       : is_root ? "/bin/sh"
				 : NOLOGIN);
}

static int take_words(void *data, char *words[RUNNER_WORDS], struct cop_error *err)
{
	struct accounts *accounts = data;
	struct account *group;

	(void)err;
	switch (words[0][0]) {
	case 'u':
		take_user(accounts, words);
		break;
	case 'g':
		group = add(accounts, words[1], false);
		if (group)
			take_id(group, words[2]);
		break;
	case 'm':
		/* A membership makes what it speaks of. */
		group = find(accounts, words[2], false);
		if (!group)
			group = add(accounts, words[2], false);
		if (group && name_is_valid(words[1]))
			(void)buf_printf(&group->members, ",%s", words[1]);
		break;
	default:
		break;
	}
	return 0;
}

static bool is_taken(const struct accounts *accounts, int64_t id)
{
	for (size_t i = 0; i < accounts->n; i++)
		if (accounts->all[i].uid == id || accounts->all[i].gid == id)
			return true;
	return id == 65534;
}

static int64_t next_free(const struct accounts *accounts)
{
	for (int64_t id = ID_MAX; id > 0; id--)
		if (!is_taken(accounts, id))
			return id;
	return 65534;
}

/* The group of a user: one that it names, one of its name, or a new one. */
static void settle_user(struct accounts *accounts, struct account *user)
{
	struct account *group = *user->group ? find(accounts, user->group, false) : NULL;

	if (group)
		user->gid = group->gid;
	if (user->gid < 0) {
		group = find(accounts, user->name, false);
		if (!group) {
			group = add(accounts, user->name, false);
			if (group)
				group->gid =
					user->uid >= 0 ? user->uid : next_free(accounts);
		}
		user->gid = group ? group->gid : 65534;
	}
	if (user->uid < 0)
		user->uid = is_taken(accounts, user->gid) && !group ? next_free(accounts)
								    : user->gid;
}

static void settle(struct accounts *accounts)
{
	size_t n = accounts->n;

	for (size_t i = 0; i < n; i++)
		if (!accounts->all[i].is_user && accounts->all[i].gid < 0)
			accounts->all[i].gid = next_free(accounts);
	for (size_t i = 0; i < n; i++)
		if (accounts->all[i].is_user)
			settle_user(accounts, &accounts->all[i]);
}

static int write_files(int root_fd, const struct accounts *accounts,
		       struct cop_error *err)
{
	auto_close int etc =
		fs_open_in_root(root_fd, "etc", O_RDONLY | O_DIRECTORY, 0, err);
	auto_buf passwd = {}, group = {};
	int r;

	if (etc < 0)
		return etc;
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *account = &accounts->all[i];

		if (account->is_user)
			(void)buf_printf(&passwd, "%s:x:%lld:%lld:%s:%s:%s\n",
					 account->name, (long long)account->uid,
					 (long long)account->gid, account->gecos,
					 account->home, account->shell);
		else
			(void)buf_printf(&group, "%s:x:%lld:%s\n", account->name,
					 (long long)account->gid,
					 account->members.size
						 ? buf_text(&account->members) + 1
						 : "");
	}
	if (passwd.failed || group.failed)
		return err_oom(err);
	r = fs_replace_at(etc, "passwd", passwd.data, passwd.size, 0644, err);
	return r < 0 ? r : fs_replace_at(etc, "group", group.data, group.size, 0644, err);
}

int runner_make_users(int root_fd, struct cop_error *err)
{
	cleanup_with(accounts_done) struct accounts accounts = {};
	static char root[] = "root", zero[] = "0", nobody[] = "nobody",
		    last[] = "65534:nogroup", nogroup[] = "nogroup",
		    number_last[] = "65534", user[] = "u", group[] = "g", none[] = "";
	char *always[][RUNNER_WORDS] = {
		{group, nogroup, number_last, none, none, none, none},
		{user, root, zero, none, none, none, none},
		{user, nobody, last, none, none, none, none},
	};
	int r = runner_each_line(root_fd, "usr/lib/sysusers.d", take_words, &accounts,
				 err);

	for (size_t i = 0; i < ARRAY_SIZE(always) && r == 0; i++)
		r = take_words(&accounts, always[i], err);
	if (r < 0)
		return r;
	settle(&accounts);
	return write_files(root_fd, &accounts, err);
}
