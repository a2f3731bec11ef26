/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/credentials.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"

#define FILE_MAX (1 * MIB)

void credentials_done(struct credentials *credentials)
{
	free(credentials->access);
	free(credentials->secret);
	free(credentials->token);
	free(credentials->region);
	*credentials = (struct credentials){};
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int take(char **place, const char *value, size_t size, struct cop_error *err)
{
	char *copy = strndup(value, size);

	if (!copy)
		return err_oom(err);
	free(*place);
	*place = copy;
	return 0;
}

static bool is_key(const char *key, size_t size, const char *wanted)
{
	return strlen(wanted) == size && strncmp(wanted, key, size) == 0;
}

static char **place_of(struct credentials *credentials, const char *key, size_t size)
{
	if (is_key(key, size, "aws_access_key_id"))
		return &credentials->access;
	if (is_key(key, size, "aws_secret_access_key"))
		return &credentials->secret;
	if (is_key(key, size, "aws_session_token"))
		return &credentials->token;
	return is_key(key, size, "region") ? &credentials->region : NULL;
}

/* The part of a line from @at to @end without the blanks around it. */
static size_t trim(const char **at, const char *end)
{
	while (*at < end && isspace((unsigned char)**at))
		(*at)++;
	while (end > *at && isspace((unsigned char)end[-1]))
		end--;
	return (size_t)(end - *at);
}

static int take_line(const char *line, const char *end, struct credentials *credentials,
		     struct cop_error *err)
{
	const char *equals = memchr(line, '=', (size_t)(end - line)), *key = line, *value;
	size_t key_size, value_size;
	char **place;

	if (!equals)
		return 0;
	key_size = trim(&key, equals);
	value = equals + 1;
	value_size = trim(&value, end);
	place = place_of(credentials, key, key_size);
	return place ? take(place, value, value_size, err) : 0;
}

int credentials_parse(const char *text, const char *profile, struct credentials *ret,
		      struct cop_error *err)
{
	bool is_ours = false;
	int r = 0;

	for (const char *line = text; *line && r == 0;) {
		const char *end = line + strcspn(line, "\n"), *at = line;
		size_t size = trim(&at, end);

		if (size > 1 && *at == '[') {
			const char *name = at + 1;
			size_t name_size = trim(&name, at + size - 1);

			is_ours = at[size - 1] == ']' && name_size == strlen(profile) &&
				  strncmp(name, profile, name_size) == 0;
		} else if (is_ours && size > 0 && *at != '#' && *at != ';') {
			r = take_line(at, at + size, ret, err);
		}
		line = *end ? end + 1 : end;
	}
	return r < 0 ? r : ret->access && ret->secret;
}

static int from_environment(struct credentials *ret, struct cop_error *err)
{
	const char *access = environment("AWS_ACCESS_KEY_ID");
	const char *secret = environment("AWS_SECRET_ACCESS_KEY");
	const char *token = environment("AWS_SESSION_TOKEN");
	int r;

	if (!access || !secret)
		return 0;
	r = take(&ret->access, access, strlen(access), err);
	if (r == 0)
		r = take(&ret->secret, secret, strlen(secret), err);
	if (r == 0 && token)
		r = take(&ret->token, token, strlen(token), err);
	return r < 0 ? r : 1;
}

static char *file_path(void)
{
	const char *path = environment("AWS_SHARED_CREDENTIALS_FILE");
	const char *home = environment("HOME");
	char *made = NULL;

	if (path)
		return strdup(path);
	return asprintf(&made, "%s/.aws/credentials", home ? home : "/root") < 0 ? NULL
										 : made;
}

static int from_file(const char *profile, struct credentials *ret, struct cop_error *err)
{
	auto_free char *path = file_path();
	auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	auto_buf text = {};
	int r;

	if (!path)
		return err_oom(err);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES
			       ? 0
			       : err_errno(err, "open '%s'", path);
	r = fs_read_all(fd, FILE_MAX, &text, err);
	return r < 0 ? err_prefix(err, r, "'%s'", path)
		     : credentials_parse(buf_text(&text), profile, ret, err);
}

int credentials_find(const char *profile, struct credentials *ret, struct cop_error *err)
{
	int r = profile ? 0 : from_environment(ret, err);

	if (!profile)
		profile = environment("AWS_PROFILE");
	if (!profile)
		profile = "default";
	if (r == 0)
		r = from_file(profile, ret, err);
	if (r < 0)
		return r;
	return r > 0 ? 0
		     : err_set(err, -ENOKEY,
			       "no credentials for S3: set AWS_ACCESS_KEY_ID and "
			       "AWS_SECRET_ACCESS_KEY, or write them to profile '%s' of "
			       "~/.aws/credentials",
			       profile);
}
