/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/secrets.h"

#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "json/json.h"

#define VALUE_MAX ((uint64_t)(1 * MIB))

void secrets_done(struct secrets *secrets)
{
	for (size_t i = 0; i < secrets->n; i++) {
		char *value = (char *)(uintptr_t)secrets->all[i].value;

		if (value)
			explicit_bzero(value, secrets->all[i].size);
		free(value);
	}
	free(secrets->all);
	json_decref(secrets->names);
	*secrets = (struct secrets){};
}

/* "root-pw" is COPPICE_SECRET_ROOT_PW. */
static int variable_of(const char *name, struct buf *variable, struct cop_error *err)
{
	(void)buf_append_text(variable, "COPPICE_SECRET_");
	for (; *name; name++) {
		bool is_lower = *name >= 'a' && *name <= 'z';
		bool is_digit = *name >= '0' && *name <= '9';

		(void)buf_append_char(variable, is_lower   ? (char)(*name - 'a' + 'A')
						: is_digit ? *name
							   : '_');
	}
	return variable->failed ? err_oom(err) : 0;
}

static int read_file(const char *name, const char *path, struct buf *value,
		     struct cop_error *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return err_errno(err, "secret '%s': open '%s'", name, path);
	r = fs_read_all(fd, VALUE_MAX, value, err);
	return r < 0 ? err_prefix(err, r, "secret '%s': '%s'", name, path) : 0;
}

/* Return: 1 with the value; 0: there is none. */
static int find_value(const char *name, const char *const *given, struct buf *value,
		      struct cop_error *err)
{
	const size_t size = strlen(name);
	auto_buf variable = {};
	const char *text;
	int r;

	for (; *given; given++)
		if (strncmp(*given, name, size) == 0 && (*given)[size] == '=') {
			r = read_file(name, *given + size + 1, value, err);
			return r < 0 ? r : 1;
		}
	r = variable_of(name, &variable, err);
	if (r < 0)
		return r;
	text = getenv(variable.data);
	if (!text)
		return 0;
	return buf_append_text(value, text) < 0 ? err_oom(err) : 1;
}

static int check_given(const char *const *given, const json_t *names,
		       struct cop_error *err)
{
	for (; *given; given++) {
		const char *equals = strchr(*given, '=');
		auto_free char *name = NULL;

		if (!equals || equals == *given || !equals[1])
			return cli_usage_error(err, "--secret '%.64s' is not NAME=FILE",
					       *given);
		name = strndup(*given, (size_t)(equals - *given));
		if (!name)
			return err_oom(err);
		if (!json_object_get(names, name))
			return err_set(err, -EINVAL,
				       "--secret %s: nothing wants a secret of that name",
				       name);
	}
	return 0;
}

static int no_value(const char *name, struct cop_error *err)
{
	auto_buf variable = {};
	int r = variable_of(name, &variable, err);

	return r < 0 ? r
		     : err_set(err, -ENOKEY,
			       "secret '%s' has no value; give --secret %s=FILE, or set "
			       "%s in the environment",
			       name, name, variable.data);
}

/* Programs that are run later must not find it. */
static void forget_variables(const json_t *names)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)names, name, value) {
		auto_buf variable = {};

		if (variable_of(name, &variable, NULL) == 0)
			(void)unsetenv(variable.data);
	}
}

int secrets_read(const struct manifest *manifest, const char *const *given, bool needed,
		 struct secrets *secrets, struct cop_error *err)
{
	json_t *names, *unused;
	const char *name;
	int r = manifest_secrets(manifest, &secrets->names, err);

	names = secrets->names;
	if (r == 0)
		r = check_given(given, names, err);
	if (r < 0)
		return r;
	secrets->all = calloc(json_object_size(names) + 1, sizeof(*secrets->all));
	if (!secrets->all)
		return err_oom(err);
	json_object_foreach (names, name, unused) {
		auto_buf value = {};

		r = find_value(name, given, &value, err);
		if (r == 0 && needed)
			r = no_value(name, err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		secrets->all[secrets->n] =
			(struct engine_secret){.name = name, .size = value.size};
		secrets->all[secrets->n].value = buf_take(&value);
		if (!secrets->all[secrets->n++].value)
			return err_oom(err);
	}
	forget_variables(names);
	return 0;
}
