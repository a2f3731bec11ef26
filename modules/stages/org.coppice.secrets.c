/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that no manifest holds: contents of files, and hashes of passwords.  They come
 * in a document that only this stage can read; nothing of it is printed.
 */
#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/accounts.h"
#include "modules/stages/owner.h"
#include "modules/stages/stages.h"
#include "json/json.h"

#define SECRETS	     "/run/osbuild/secrets"
#define DOCUMENT_MAX (64 * MIB)

/* The field, in etc/shadow as in etc/passwd. */
#define PASSWORD 1

static int read_document(struct kit *kit, json_t **ret_document)
{
	const char *path = kit->secrets_path ? kit->secrets_path : SECRETS;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_buf text = {};
	int r;

	if (fd < 0)
		return err_errno(kit->err, "open '%s'", path);
	r = fs_read_all(fd, DOCUMENT_MAX, &text, kit->err);
	if (r == 0)
		r = json_read(buf_text(&text), text.size, ret_document, kit->err);
	if (text.data)
		explicit_bzero(text.data, text.size);
	return r;
}

static int read_value(struct kit *kit, const json_t *document, const char *name,
		      struct buf *value)
{
	const char *hex = json_string_value(json_object_get(document, name));
	size_t size = hex ? strlen(hex) / 2 : 0;

	if (!hex)
		return err_set(kit->err, -ENOENT, "secret '%s' is not there", name);
	if (buf_reserve(value, size + 1) < 0)
		return err_oom(kit->err);
	if (size > 0 && hex_decode(hex, value->data, size) < 0)
		return err_set(kit->err, -EBADMSG, "secret '%s' is damaged", name);
	value->size = size;
	value->data[size] = '\0';
	return 0;
}

/* --- files --- */

static int place(struct kit *kit, const char *path, const struct buf *value, mode_t mode,
		 const struct owner *owner)
{
	auto_close int parent_fd = -EBADF, fd = -EBADF;
	char name[NAME_MAX + 1];
	int r = root_make_parents(kit->tree_fd, path, 0755, kit->err);

	if (r < 0)
		return r;
	parent_fd = root_open_parent(kit->tree_fd, path, name, kit->err);
	if (parent_fd < 0)
		return parent_fd;
	r = fs_replace_at(parent_fd, name, buf_text(value), value->size, 0600, kit->err);
	if (r < 0)
		return r;
	fd = openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(kit->err, "open '%s'", path);
	if (fchown(fd, owner->uid, owner->gid) < 0 || fchmod(fd, mode) < 0)
		return err_errno(kit->err, "set owner and mode of '%s'", path);
	return 0;
}

static int write_file(struct kit *kit, const json_t *document, const json_t *json)
{
	static const char *const keys[] = {"path", "secret", "mode",  "uid",
					   "gid",  "user",   "group", NULL};
	const char *path = NULL, *name = NULL;
	struct owner owner = {};
	auto_buf value = {};
	int64_t mode = 0600;
	int r = json_only_keys(json, keys, "files", kit->err);

	if (r == 0)
		r = json_get_string(json, "path", "files", &path, kit->err);
	if (r == 0)
		r = json_get_string(json, "secret", path, &name, kit->err);
	if (r == 0)
		r = json_optional_integer(json, "mode", path, &mode, kit->err);
	if (r == 0 && (mode < 0 || mode > 07777))
		r = err_set(kit->err, -EINVAL, "mode %lld of '%s' is not 0 to 4095",
			    (long long)mode, path);
	if (r == 0)
		r = owner_read(kit, json, path, &owner);
	if (r == 0)
		r = read_value(kit, document, name, &value);
	if (r == 0)
		r = place(kit, path, &value, (mode_t)mode, &owner);
	if (value.data)
		explicit_bzero(value.data, value.size);
	return r;
}

/* --- passwords --- */

/* As crypt(3) gives it; people end files with a newline. */
static int check_hash(struct kit *kit, const char *name, struct buf *value)
{
	while (value->size > 0 && value->data[value->size - 1] == '\n')
		buf_truncate(value, value->size - 1);
	if (strlen(buf_text(value)) != value->size || value->size < 16 ||
	    *value->data != '$' || !strchr(value->data + 1, '$') ||
	    strpbrk(value->data, ": \t\n"))
		return err_set(kit->err, -EINVAL,
			       "secret '%s' is no hash of a password, as 'openssl passwd "
			       "-6' makes it",
			       name);
	return 0;
}

static int set_password(struct kit *kit, struct accounts *accounts, const char *user,
			const char *hash)
{
	const enum account_file file =
		accounts_has(accounts, ACCOUNT_SHADOW) ? ACCOUNT_SHADOW : ACCOUNT_PASSWD;
	const size_t line = accounts_find(accounts, file, user);

	if (line == ACCOUNT_NONE)
		return err_set(kit->err, -ENOENT, "the tree has no user '%s'", user);
	return accounts_set(accounts, file, line, PASSWORD, hash);
}

static int set_passwords(struct kit *kit, const json_t *document, json_t *passwords)
{
	auto_ptr(accounts) accounts = NULL;
	const char *user;
	json_t *json;
	int r = json_object_size(passwords) ? accounts_open(kit, &accounts) : 0;

	json_object_foreach (passwords, user, json) {
		const char *name = json_string_value(json);
		auto_buf value = {};

		if (r == 0 && !name)
			r = err_set(kit->err, -EINVAL,
				    "passwords: that of '%s' must be a secret's name",
				    user);
		if (r == 0)
			r = read_value(kit, document, name, &value);
		if (r == 0)
			r = check_hash(kit, name, &value);
		if (r == 0)
			r = set_password(kit, accounts, user, value.data);
		if (value.data)
			explicit_bzero(value.data, value.size);
	}
	return r == 0 && accounts ? accounts_save(accounts) : r;
}

int stage_secrets(struct kit *kit)
{
	json_t *files = NULL, *passwords = NULL, *names = NULL;
	static const char *const keys[] = {"secrets", "files", "passwords", NULL};
	auto_json *document = NULL;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_get_array(kit->options, "secrets", "options", &names, kit->err);
	if (r == 0)
		r = json_optional_array(kit->options, "files", "options", &files,
					kit->err);
	if (r == 0)
		r = json_optional_object(kit->options, "passwords", "options", &passwords,
					 kit->err);
	if (r == 0)
		r = read_document(kit, &document);
	for (size_t i = 0; r == 0 && i < json_array_size(files); i++)
		r = write_file(kit, document, json_array_get(files, i));
	return r == 0 ? set_passwords(kit, document, passwords) : r;
}
