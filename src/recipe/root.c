/* SPDX-License-Identifier: Apache-2.0 */
/* The directory in which apt works. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/fs.h"
#include "recipe/apt.h"
#include "recipe/repositories.h"

/* Below the downloads, one for each set of repositories. */
#define KEPT_DIRECTORY "org.coppice.apt"
/* The path goes into apt's configuration between quotes. */
#define UNQUOTABLE "\"\\;\n"

static int add_texts(struct buf *text, const char **texts)
{
	for (; *texts; texts++)
		(void)buf_printf(text, "%zu:%s,", strlen(*texts), *texts);
	return buf_append_char(text, ';');
}

/* Whatever decides what is in the lists, and who is trusted to say so. */
static int make_key(const struct apt *apt, char key[SHA256_HEX + 1],
		    struct cop_error *err)
{
	const struct recipe *recipe = apt->recipe;
	const char *const texts[] = {"coppice-apt 1", recipe->suite, recipe->architecture,
				     apt->keyring};
	auto_close int fd = open(apt->keyring, O_RDONLY | O_CLOEXEC);
	char keyring[SHA256_HEX + 1];
	auto_buf text = {};
	int r;

	if (fd < 0)
		return err_errno(err, "open keyring '%s'", apt->keyring);
	r = sha256_fd(fd, keyring, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		(void)buf_printf(&text, "%zu:%s,", strlen(texts[i]), texts[i]);
	(void)buf_append_text(&text, keyring);
	(void)add_texts(&text, recipe->components);
	for (size_t i = 0; i < apt->n_places; i++)
		(void)add_texts(&text, apt->places[i].uris);
	repositories_add_to_request(recipe, &text);
	return text.failed ? err_oom(err) : sha256_bytes(text.data, text.size, key, err);
}

/* Return: 1, 0 when it cannot be had, or a negative errno. */
static int open_kept(struct apt *apt, struct cop_error *err)
{
	char key[SHA256_HEX + 1];
	auto_close int fd = -EBADF;
	auto_free char *real = NULL;
	auto_buf path = {};
	int r;

	/* An old state of the archive is asked for once. */
	if (apt->snapshot || !apt->options->sources_dir)
		return 0;
	r = make_key(apt, key, err);
	if (r < 0)
		return r;
	real = realpath(apt->options->sources_dir, NULL);
	if (!real || strpbrk(real, UNQUOTABLE))
		return 0;
	if (buf_printf(&path, "%s/" KEPT_DIRECTORY, real) < 0)
		return err_oom(err);
	if (mkdir(path.data, 0755) < 0 && errno != EEXIST)
		return 0;
	if (buf_printf(&path, "/%.32s", key) < 0)
		return err_oom(err);
	if (mkdir(path.data, 0700) < 0 && errno != EEXIST)
		return 0;
	fd = open(path.data, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	apt->root_fd = TAKE_FD(fd);
	apt->root = buf_take(&path);
	apt->kept = true;
	return 1;
}

static int open_temporary(struct apt *apt, struct cop_error *err)
{
	const char *tmp = getenv("TMPDIR");
	auto_buf path = {};

	(void)buf_printf(&path, "%s/coppice-lock-XXXXXX",
			 tmp && *tmp == '/' ? tmp : "/tmp");
	if (path.failed)
		return err_oom(err);
	if (!mkdtemp(path.data))
		return err_errno(err, "make a temporary directory '%s'", path.data);
	apt->root = buf_take(&path);
	if (strpbrk(apt->root, UNQUOTABLE))
		return err_set(err, -EINVAL, "TMPDIR '%s' has a quote in it", apt->root);
	apt->root_fd = open(apt->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return apt->root_fd < 0 ? err_errno(err, "open '%s'", apt->root) : 0;
}

int apt_root_open(struct apt *apt, struct cop_error *err)
{
	static const char *const directories[] = {"etc/apt/apt.conf.d",
						  "etc/apt/preferences.d",
						  "etc/apt/sources.list.d",
						  "etc/apt/keyrings",
						  "etc/apt/trusted.gpg.d",
						  "var/lib/apt/lists/partial",
						  "var/cache/apt/archives/partial",
						  "var/cache/coppice",
						  "var/lib/dpkg",
						  "var/log/apt"};
	auto_buf empty = {};
	int r = open_kept(apt, err);

	if (r == 0)
		r = open_temporary(apt, err);
	for (size_t i = 0; i < ARRAY_SIZE(directories) && r >= 0; i++)
		r = fs_make_dirs(apt->root_fd, directories[i], 0755, err);
	/* What an earlier run has left of its own sources must not be asked again. */
	if (r >= 0)
		r = fs_remove_all(apt->root_fd, "etc/apt/sources.list.d", true, err);
	if (r >= 0)
		r = fs_make_dirs(apt->root_fd, "etc/apt/sources.list.d", 0755, err);
	return r < 0 ? r : apt_write(apt, APT_STATUS, &empty, err);
}

void apt_root_close(struct apt *apt)
{
	/* Its time says when it was last of use. */
	if (apt->kept)
		(void)futimens(apt->root_fd, NULL);
	else if (apt->root)
		(void)fs_remove_all(AT_FDCWD, apt->root, true, NULL);
	closep(&apt->root_fd);
}
