/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Release file says of its repository, and who signed it.  The file was verified
 * by apt when it was fetched; its signers are asked for once more through apt's own
 * verifying method (sqv or gpgv, whatever this apt has), which is the one way to learn
 * them that every apt offers.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "recipe/apt.h"

#define RELEASE_MAX (16 * MIB)
#define KEYS_MAX    32
#define METHODS	    "/usr/lib/apt/methods/"

/* The first line "NAME: value" of the text; the value's end is where the line's is. */
static char *find_line(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':') {
			line += length + 1;
			line += strspn(line, " ");
			return strndup(line, strcspn(line, "\r\n"));
		}
	}
	return strdup("");
}

/* "Sat, 12 Sep 2026 07:55:41 UTC" -> "20260912T075541Z", without asking the locale. */
static int convert_date(const char *text, char converted[LOCK_DATE_SIZE])
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	unsigned int day, year, hour, minute, second, month = 0;
	char name[4], zone[4], date[64];

	if (sscanf(text, "%*3[A-Za-z], %2u %3[A-Za-z] %4u %2u:%2u:%2u %3[A-Z]", &day,
		   name, &year, &hour, &minute, &second, zone) != 7)
		return -EINVAL;
	while (month < 12 && strcmp(months[month], name) != 0)
		month++;
	if (month == 12 || (strcmp(zone, "UTC") != 0 && strcmp(zone, "GMT") != 0))
		return -EINVAL;
	if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 ||
	    year < 1970 || year > 9999)
		return -EINVAL;
	(void)snprintf(date, sizeof(date), "%04u%02u%02uT%02u%02u%02uZ", year, month + 1,
		       day, hour, minute, second);
	(void)memcpy(converted, date, LOCK_DATE_SIZE);
	return 0;
}

static int take_value(struct apt *apt, const char *text, const char *name,
		      const char **ret_value, struct cop_error *err)
{
	auto_free char *value = find_line(text, name);

	*ret_value = value ? arena_text(apt->arena, value) : NULL;
	return *ret_value ? 0 : err_oom(err);
}

static int read_date(struct apt *apt, const char *text, struct apt_repository *repository,
		     struct cop_error *err)
{
	auto_free char *date = find_line(text, "Date");
	char converted[LOCK_DATE_SIZE] = "";
	int r;

	if (!date)
		return err_oom(err);
	r = convert_date(date, converted);
	if (r < 0)
		return err_set(err, r,
			       "repository %s has no date that can be read: '%.64s'",
			       repository->lock.suite, date);
	repository->date = arena_text(apt->arena, converted);
	return repository->date ? 0 : err_oom(err);
}

/* Others than Debian say of themselves what they like; whoever gave the address and the
 * keys is told when it is not the name that was asked for. */
static int check_extra(struct apt *apt, const char *text, const char *codename,
		       const struct apt_repository *repository, struct cop_error *err)
{
	const struct lock_repository *lock = &repository->lock;
	const struct recipe_repository *extra = repository->place->extra;
	const char *suite = NULL;
	int r = take_value(apt, text, "Suite", &suite, err);

	if (r < 0)
		return r;
	if (extra->priority && !*lock->origin && !*lock->label &&
	    strchr(lock->suite, '/'))
		return err_set(
			err, -EINVAL,
			"repository '%s' names neither its origin nor its label, so "
			"that apt cannot give it a priority",
			extra->id);
	if (!text_ends_with(lock->suite, "/") && strcmp(codename, lock->suite) != 0 &&
	    strcmp(suite, lock->suite) != 0)
		apt_note(apt->options,
			 "repository '%s' says that it is '%.64s', not '%s'", extra->id,
			 *codename ? codename : suite, lock->suite);
	return 0;
}

static int read_facts(struct apt *apt, const char *text,
		      struct apt_repository *repository, struct cop_error *err)
{
	struct lock_repository *lock = &repository->lock;
	const char *codename = NULL;
	int r = take_value(apt, text, "Origin", &lock->origin, err);

	if (r >= 0)
		r = take_value(apt, text, "Label", &lock->label, err);
	if (r >= 0)
		r = take_value(apt, text, "Codename", &codename, err);
	if (r < 0)
		return r;
	if (repository->place->extra)
		return check_extra(apt, text, codename, repository, err);
	/* A signed index of another suite under this one's address is still the wrong
	 * one. */
	if (strcmp(codename, lock->suite) != 0)
		return err_set(err, -EBADMSG, "repository %s says that it is '%.64s'",
			       lock->suite, codename);
	return read_date(apt, text, repository, err);
}

/* --- signers --- */

struct reply {
	struct buf text;
};

static void take_reply(void *data, const char *bytes, size_t size)
{
	struct reply *reply = data;

	if (reply->text.size < MIB)
		(void)buf_append(&reply->text, bytes, size);
}

/* What apt itself would say to the method; never another keyring than ours. */
static int ask_method(const struct apt *apt, const char *keyring, const char *method,
		      const char *path, struct reply *reply, struct cop_error *err)
{
	auto_close int request_fd = memfd_create("request", MFD_CLOEXEC);
	const struct process_fd fds[] = {{request_fd, 0}};
	const char *const argv[] = {method, NULL};
	const struct process_options options = {
		.argv = argv,
		.env = (const char *const *)apt->env,
		.fds = fds,
		.n_fds = 1,
		.on_output = take_reply,
		.data = reply,
		.separate_error = true,
		.cancel_fd = apt->options->cancel_fd,
	};
	auto_buf text = {};
	int status, r;

	if (request_fd < 0)
		return err_errno(err, "make a request file");
	(void)buf_printf(&text,
			 "601 Configuration\n"
			 "Config-Item: APT::Sandbox::User=root\n"
			 "Config-Item: Dir::Etc::trusted=/dev/null\n"
			 "Config-Item: Dir::Etc::trustedparts=/dev/null\n"
			 "Config-Item: Dir::Bin::apt-key=/usr/bin/apt-key\n\n"
			 "600 URI Acquire\nURI: %s:%s%s\nFilename: %s\nSigned-By: %s\n\n",
			 strrchr(method, '/') + 1, path,
			 text_ends_with(path, "_InRelease") ? "" : ".gpg", path, keyring);
	if (text.failed)
		return err_oom(err);
	r = fs_write_all(request_fd, text.data, text.size);
	if (r < 0 || lseek(request_fd, 0, SEEK_SET) < 0)
		return err_set(err, -EIO, "write a request file");
	return process_run(&options, &status, err);
}

static int by_text(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcmp(*left, *right);
}

/* "Signed-By: A\n B!\n C" with one fingerprint per line; '!' marks a subkey. */
static int take_signers(struct apt *apt, const char *reply, const char ***ret_keys,
			struct cop_error *err)
{
	const char *answer = strstr(reply, "201 URI Done"), *line;
	const char **keys = arena_alloc(apt->arena, (KEYS_MAX + 1) * sizeof(*keys));
	size_t n = 0, n_unique = 0;

	if (!keys)
		return err_oom(err);
	line = answer ? strstr(answer, "\nSigned-By:") : NULL;
	if (line)
		line += strlen("\nSigned-By:");
	while (line && *line == ' ' && n < KEYS_MAX) {
		size_t length = strspn(++line, "0123456789ABCDEF");

		if (length >= 40 && length <= 64) {
			keys[n] = arena_memdup(apt->arena, line, length);
			if (!keys[n++])
				return err_oom(err);
		}
		line = strchr(line, '\n');
		line += line != NULL;
	}
	qsort(keys, n, sizeof(*keys), by_text);
	for (size_t i = 0; i < n; i++)
		if (n_unique == 0 || strcmp(keys[n_unique - 1], keys[i]) != 0)
			keys[n_unique++] = keys[i];
	keys[n_unique] = NULL;
	*ret_keys = keys;
	return 0;
}

static int ask_signers(struct apt *apt, const char *path,
		       struct apt_repository *repository, struct cop_error *err)
{
	static const char *const methods[] = {METHODS "sqv", METHODS "gpgv"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct reply reply = {};
		int r;

		if (access(methods[i], X_OK) < 0)
			continue;
		r = ask_method(apt, repository->place->keyring, methods[i], path, &reply,
			       err);
		if (r >= 0)
			r = take_signers(apt, buf_text(&reply.text),
					 &repository->lock.keys, err);
		buf_done(&reply.text);
		if (r < 0)
			return r;
		if (*repository->lock.keys)
			return 0;
	}
	return err_set(err, -EBADMSG, "repository %s: nobody's signature can be verified",
		       repository->lock.suite);
}

/*
 * The very same file has the very same signers, with the keyring that belongs to the
 * root; asking takes a quarter of a second for each.  A detached signature is another
 * file.
 */
static int read_signers(struct apt *apt, const char *path, const struct buf *text,
			struct apt_repository *repository, struct cop_error *err)
{
	char hex[SHA256_HEX + 1], name[SHA256_HEX + 32];
	auto_buf known = {};
	int r = sha256_bytes(text->data, text->size, hex, err);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "var/cache/coppice/%s", hex);
	if (!text_ends_with(path, "_InRelease"))
		return ask_signers(apt, path, repository, err);
	if (fs_read_file(apt->root_fd, name, MIB, &known, NULL) == 0 &&
	    take_signers(apt, buf_text(&known), &repository->lock.keys, NULL) == 0 &&
	    *repository->lock.keys)
		return 0;
	r = ask_signers(apt, path, repository, err);
	buf_truncate(&known, 0);
	(void)buf_append_text(&known, "201 URI Done\nSigned-By:");
	for (const char **key = repository->lock.keys; r >= 0 && *key; key++)
		(void)buf_printf(&known, " %s\n", *key);
	return r < 0 ? r : apt_write(apt, name, &known, err);
}

int release_read(struct apt *apt, const char *path, struct apt_repository *repository,
		 struct cop_error *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_buf text = {};
	int r;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	r = fs_read_all(fd, RELEASE_MAX, &text, err);
	if (r >= 0)
		r = read_facts(apt, buf_text(&text), repository, err);
	return r < 0 ? r : read_signers(apt, path, &text, repository, err);
}
