/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups of people, as options of the stages that make them. */
#include <string.h>

#include "base/text.h"
#include "recipe/check.h"
#include "recipe/settings.h"

/* The kernel's word for "no user" is the last one. */
#define ID_MAX ((uint64_t)UINT32_MAX - 1)

/* @json: what the stage is told; @sudo: how, or NULL */
struct account {
	const char *name;
	json_t *json;
	const char *sudo;
	bool has_home, has_shell;
};

static int put(json_t *json, const char *key, json_t *value, struct cop_error *err)
{
	return json_object_set_new(json, key, value) < 0 ? err_oom(err) : 0;
}

static int take_name(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct account *account = decode->item;
	int r = decode_text(decode, node, &account->name, err);

	if (r < 0)
		return r;
	if (!check_account(account->name))
		return decode_wrong(decode, node, err,
				    "name: '%.64s' is not a user's or group's name",
				    account->name);
	return 0;
}

/* A text without what would break a line of passwd. */
static int take_field(struct decode *decode, const struct node *node,
		      struct cop_error *err)
{
	struct account *account = decode->item;
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (strpbrk(text, ":\n"))
		return decode_wrong(decode, node, err, "%s: no ':' can be in it",
				    node->key);
	if ((strcmp(node->key, "home") == 0 || strcmp(node->key, "shell") == 0) &&
	    !check_absolute_path(text))
		return decode_wrong(decode, node, err,
				    "%s: '%.128s' is not an absolute path", node->key,
				    text);
	account->has_home |= strcmp(node->key, "home") == 0;
	account->has_shell |= strcmp(node->key, "shell") == 0;
	return put(account->json, node->key, json_string(text), err);
}

static int take_secret(struct decode *decode, const struct node *node,
		       struct cop_error *err)
{
	struct account *account = decode->item;
	const char *name = NULL;
	int r = decode_secret(decode, node, &name, err);

	return r < 0 ? r : put(account->json, ACCOUNT_SECRET, json_string(name), err);
}

/* Never a password itself: a hash with a fresh salt is another one each time. */
static int take_password(struct decode *decode, const struct node *node,
			 struct cop_error *err)
{
	struct account *account = decode->item;
	static const struct decode_field fields[] = {{"secret", take_secret}};
	const char *text = NULL;
	int r;

	if (node->kind == NODE_MAP) {
		r = decode_map(decode, node, fields, ARRAY_SIZE(fields), "password", err);
		if (r == 0 && !json_object_get(account->json, ACCOUNT_SECRET))
			return decode_wrong(decode, node, err,
					    "password: a hash or a secret is wanted");
		return r;
	}
	r = decode_text(decode, node, &text, err);
	if (r < 0)
		return r;
	if (strpbrk(text, ":\n") ||
	    (strcmp(text, "!") != 0 && strcmp(text, "*") != 0 &&
	     (*text != '$' || !strchr(text + 1, '$') || strlen(text) < 16)))
		return decode_wrong(decode, node, err,
				    "password: a hash is wanted, as 'openssl passwd -6' "
				    "makes it, or '!' for none");
	return put(account->json, "password", json_string(text), err);
}

static int take_id(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct account *account = decode->item;
	const char *text = NULL;
	uint64_t number = 0;
	int r = decode_text(decode, node, &text, err);

	if (r < 0)
		return r;
	if (text_to_u64(text, &number) < 0 || number > ID_MAX)
		return decode_wrong(decode, node, err, "%s: '%.32s' is not a number",
				    node->key, text);
	return put(account->json, node->key, json_integer((json_int_t)number), err);
}

static bool is_key(const char *text)
{
	static const char *const starts[] = {"ssh-", "ecdsa-", "sk-"};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (text_starts_with(text, starts[i]) && strchr(text, ' ') &&
		    !strchr(text, '\n'))
			return true;
	return false;
}

static int take_list(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct account *account = decode->item;
	bool are_keys = strcmp(node->key, "keys") == 0;
	const struct node *item = node->first;
	const char **texts = NULL;
	json_t *list = json_array();
	int r = decode_texts(decode, node, false, &texts, err);

	for (size_t i = 0; r == 0 && texts[i]; i++, item = item->next) {
		if (are_keys ? !is_key(texts[i]) : !check_account(texts[i]))
			r = decode_wrong(decode, item, err, "%s: '%.48s' is not %s",
					 node->key, texts[i],
					 are_keys ? "a public key in one line"
						  : "a group's name");
		else if (!list || json_array_append_new(list, json_string(texts[i])) < 0)
			r = err_oom(err);
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	return put(account->json, node->key, list, err);
}

static int take_key(struct decode *decode, const struct node *node, struct cop_error *err)
{
	struct account *account = decode->item;
	const char *text = NULL;
	int r = decode_text(decode, node, &text, err);

	if (r == 0 && !is_key(text))
		return decode_wrong(decode, node, err,
				    "key: '%.48s' is not a public key in one line", text);
	return r < 0 ? r : put(account->json, "key", json_string(text), err);
}

static int take_day(struct decode *decode, const struct node *node, struct cop_error *err)
{
	return take_id(decode, node, err);
}

static int take_reset(struct decode *decode, const struct node *node,
		      struct cop_error *err)
{
	struct account *account = decode->item;
	bool flag = false;
	int r = decode_flag(decode, node, &flag, err);

	return r < 0 ? r : put(account->json, node->key, json_boolean(flag), err);
}

static int take_sudo(struct decode *decode, const struct node *node,
		     struct cop_error *err)
{
	struct account *account = decode->item;
	const char *text = NULL;
	bool flag = false;
	int r = decode_text(decode, node, &text, err);

	if (r == 0 && strcmp(text, "nopasswd") == 0) {
		account->sudo = text;
		return 0;
	}
	if (r == 0)
		r = decode_flag(decode, node, &flag, err);
	if (r == 0)
		account->sudo = flag ? "group" : NULL;
	return r;
}

/* sudo: by Debian's group, or by a rule of one's own. */
static int add_sudo(struct recipe *recipe, const struct account *account,
		    struct cop_error *err)
{
	auto_buf path = {}, text = {};
	json_t *groups = json_object_get(account->json, "groups");
	int r = settings_need(recipe, "sudo", err);

	if (r < 0)
		return r;
	if (strcmp(account->sudo, "group") == 0) {
		if (!groups) {
			groups = json_array();
			r = put(account->json, "groups", groups, err);
		}
		return r < 0 || json_array_append_new(groups, json_string("sudo")) < 0
			       ? err_oom(err)
			       : 0;
	}
	(void)buf_printf(&path, "/etc/sudoers.d/%s", account->name);
	/* sudo overlooks files with a dot in their names. */
	for (char *at = path.data ? path.data + strlen("/etc/sudoers.d/") : NULL;
	     at && *at; at++)
		if (*at == '.')
			*at = '_';
	(void)buf_printf(&text, "%s ALL=(ALL:ALL) NOPASSWD: ALL\n", account->name);
	if (path.failed || text.failed)
		return err_oom(err);
	return settings_add_file(recipe, path.data, text.data, text.size, 0440, err);
}

static int set_defaults(const struct account *account, struct cop_error *err)
{
	char home[80];
	int r = 0;

	if (strcmp(account->name, "root") == 0)
		return 0;
	(void)snprintf(home, sizeof(home), "/home/%s", account->name);
	if (!account->has_home)
		r = put(account->json, "home", json_string(home), err);
	if (r == 0 && !account->has_shell)
		r = put(account->json, "shell", json_string("/bin/bash"), err);
	return r;
}

/* One item of a list of accounts becomes @account->json in @all. */
static int take_account(struct decode *decode, const struct node *node,
			const struct decode_field *fields, size_t n_fields,
			struct account *account, json_t *all, json_t *seen,
			struct cop_error *err)
{
	int r;

	account->json = json_object();
	if (!account->json)
		return err_oom(err);
	decode->item = account;
	r = decode_map(decode, node, fields, n_fields, "item", err);
	if (r == 0 && !account->name)
		r = decode_wrong(decode, node, err, "an item without a name");
	if (r == 0 && json_object_get(seen, account->name))
		r = decode_wrong(decode, node, err, "'%s' is given twice", account->name);
	if (r == 0 && (json_object_set(all, account->name, account->json) < 0 ||
		       json_object_set_new(seen, account->name, json_true()) < 0))
		r = err_oom(err);
	json_decref(account->json);
	return r;
}

int decode_users(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"name", take_name},
		{"description", take_field},
		{"home", take_field},
		{"shell", take_field},
		{"password", take_password},
		{"uid", take_id},
		{"gid", take_id},
		{"groups", take_list},
		{"key", take_key},
		{"keys", take_list},
		{"expiredate", take_day},
		{"force_password_reset", take_reset},
		{"sudo", take_sudo},
	};
	struct recipe_settings *settings = decode->recipe->settings;
	auto_json *seen = json_object();
	int r = decode_list(decode, node, err);

	if (r == 0 && !settings->accounts)
		settings->accounts = json_object();
	for (const struct node *item = node->first; r == 0 && item; item = item->next) {
		struct account account = {};

		r = take_account(decode, item, fields, ARRAY_SIZE(fields), &account,
				 settings->accounts, seen, err);
		if (r == 0)
			r = set_defaults(&account, err);
		if (r == 0 && account.sudo)
			r = add_sudo(decode->recipe, &account, err);
	}
	return r;
}

int decode_groups(struct decode *decode, const struct node *node, struct cop_error *err)
{
	static const struct decode_field fields[] = {
		{"name", take_name},
		{"gid", take_id},
	};
	struct recipe_settings *settings = decode->recipe->settings;
	auto_json *seen = json_object();
	int r = decode_list(decode, node, err);

	if (r == 0 && !settings->account_groups)
		settings->account_groups = json_object();
	for (const struct node *item = node->first; r == 0 && item; item = item->next) {
		struct account account = {};

		r = take_account(decode, item, fields, ARRAY_SIZE(fields), &account,
				 settings->account_groups, seen, err);
	}
	return r;
}
