/* SPDX-License-Identifier: Apache-2.0 */
/* The stage for what is known by name only: `secret:` of files and passwords. */
#include <string.h>

#include "recipe/settings.h"
#include "recipe/stages.h"

/* @names: as keys, so that each is there once */
struct wanted {
	json_t *names, *files, *passwords;
};

static int add_name(struct wanted *wanted, const char *name)
{
	return json_object_set_new(wanted->names, name, json_true());
}

static int add_file(struct wanted *wanted, const struct recipe_file *file)
{
	json_t *json = json_pack("{s:s, s:s, s:i}", "path", file->path, "secret",
				 file->secret, "mode", (int)file->mode);

	stages_add_owner(json, file->user, file->user_name, file->group,
			 file->group_name);
	return json_array_append_new(wanted->files, json) < 0
		       ? -ENOMEM
		       : add_name(wanted, file->secret);
}

static int collect(struct wanted *wanted, const struct recipe *recipe)
{
	const char *user;
	json_t *account;
	int r = wanted->names && wanted->files && wanted->passwords ? 0 : -ENOMEM;

	for (size_t i = 0; i < recipe->n_files && r == 0; i++)
		if (recipe->files[i].secret)
			r = add_file(wanted, &recipe->files[i]);
	json_object_foreach (recipe->settings->accounts, user, account) {
		json_t *secret = json_object_get(account, ACCOUNT_SECRET);

		if (r == 0 && secret)
			r = json_object_set(wanted->passwords, user, secret);
		if (r == 0 && secret)
			r = add_name(wanted, json_string_value(secret));
	}
	return r;
}

int stages_add_secrets(json_t *stages, const struct recipe *recipe, struct cop_error *err)
{
	auto_json *names = json_object(), *files = json_array(),
		  *passwords = json_object(), *list = json_array();
	struct wanted wanted = {names, files, passwords};
	const char *name;
	json_t *value;

	if (collect(&wanted, recipe) != 0 || !list)
		return err_oom(err);
	if (json_object_size(names) == 0)
		return 0;
	json_object_foreach (names, name, value)
		if (json_array_append_new(list, json_string(name)) < 0)
			return err_oom(err);
	return stages_add(stages, "org.coppice.secrets", NULL,
			  json_pack("{s:O, s:O, s:O}", "secrets", list, "files", files,
				    "passwords", passwords),
			  err);
}
