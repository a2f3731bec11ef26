/* SPDX-License-Identifier: Apache-2.0 */
/* Directories, files and symlinks of tmpfiles.d.  Whatever else the format knows (ages,
 * attributes, copies, removals) means nothing in a sandbox that lives for one module. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "modkit/root.h"
#include "modkit/users.h"
#include "modules/runners/runners.h"

static const struct {
	char letter;
	const char *text; /* NULL: not known here, and the line is left out */
} specifiers[] = {
	{'%', "%"},	   {'C', "/var/cache"}, {'h', "/root"}, {'L', "/var/log"},
	{'S', "/var/lib"}, {'t', "/run"},	{'T', "/tmp"},	{'u', "root"},
	{'U', "0"},	   {'V', "/var/tmp"},
};

/* False: there is something in it that only a booted system knows. */
static bool expand(const char *text, struct buf *expanded)
{
	for (; *text; text++) {
		const char *value = NULL;

		if (*text != '%') {
			(void)buf_append_char(expanded, *text);
			continue;
		}
		text++;
		for (size_t i = 0; i < ARRAY_SIZE(specifiers); i++)
			if (specifiers[i].letter == *text)
				value = specifiers[i].text;
		if (!value)
			return false;
		(void)buf_append_text(expanded, value);
	}
	return !expanded->failed;
}

static mode_t get_mode(const char *text, mode_t otherwise)
{
	text += strspn(text, "~:");
	return *text ? (mode_t)strtoul(text, NULL, 8) & 07777 : otherwise;
}

/* False: the tree does not know them, and the line is left out. */
static bool get_owner(int root_fd, char *words[RUNNER_WORDS], uid_t *ret_uid,
		      gid_t *ret_gid)
{
	const char *user = words[3] + strspn(words[3], ":");
	const char *group = words[4] + strspn(words[4], ":");
	uint64_t value;
	gid_t ignored;

	*ret_uid = 0;
	*ret_gid = 0;
	if (*user && text_to_u64(user, &value) == 0)
		*ret_uid = (uid_t)value;
	else if (*user && users_find(root_fd, user, ret_uid, &ignored, NULL) < 0)
		return false;
	if (*group && text_to_u64(group, &value) == 0)
		*ret_gid = (gid_t)value;
	else if (*group && users_find_group(root_fd, group, ret_gid, NULL) < 0)
		return false;
	return true;
}

/* Those above it, too, which keep the mode that they have. */
static void make_parents(int root_fd, const char *path)
{
	auto_free char *parents = strdup(path);
	char *slash = parents ? strrchr(parents, '/') : NULL;

	if (slash && slash != parents) {
		*slash = '\0';
		(void)root_make_dirs(root_fd, parents + 1, 0755, NULL);
	}
}

static void make_directory(int dir_fd, const char *name, mode_t mode, uid_t uid,
			   gid_t gid)
{
	auto_close int fd = -EBADF;

	(void)mkdirat(dir_fd, name, mode);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fchown(fd, uid, gid) == 0)
		(void)fchmod(fd, mode);
}

static void make_file(int dir_fd, const char *name, mode_t mode, uid_t uid, gid_t gid,
		      const char *text, bool anew)
{
	auto_close int fd = openat(
		dir_fd, name,
		O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (anew ? 0 : O_EXCL), mode);

	if (fd < 0 || (anew && ftruncate(fd, 0) < 0) ||
	    fs_write_all(fd, text, strlen(text)) < 0)
		return;
	if (fchown(fd, uid, gid) == 0)
		(void)fchmod(fd, mode);
}

static void make_link(int dir_fd, const char *name, const char *path, const char *target,
		      bool anew)
{
	auto_buf factory = {};

	if (!*target) {
		(void)buf_printf(&factory, "/usr/share/factory%s", path);
		target = buf_text(&factory);
	}
	if (anew)
		(void)fs_replace_link_at(dir_fd, name, target, NULL);
	else if (symlinkat(target, dir_fd, name) < 0 && errno != EEXIST)
		log_debug("make link '%s': %m", path);
}

static int make(int root_fd, char *words[RUNNER_WORDS], const char *path,
		const char *argument)
{
	bool anew = strchr(words[0], '+') || words[0][0] == 'F';
	auto_close int dir = -EBADF;
	char name[NAME_MAX + 1];
	uid_t uid;
	gid_t gid;

	if (!get_owner(root_fd, words, &uid, &gid))
		return 0;
	make_parents(root_fd, path);
	dir = root_open_parent(root_fd, path, name, NULL);
	if (dir < 0)
		return 0;
	if (strchr("dDvqQ", words[0][0]))
		make_directory(dir, name, get_mode(words[2], 0755), uid, gid);
	else if (strchr("fF", words[0][0]))
		make_file(dir, name, get_mode(words[2], 0644), uid, gid, argument, anew);
	else
		make_link(dir, name, path, argument, anew);
	return 0;
}

static int take_words(void *data, char *words[RUNNER_WORDS], struct cop_error *err)
{
	auto_buf path = {}, argument = {};
	size_t end;

	(void)err;
	/* With '!' it is for the time of booting only, with '^' for who has credentials.
	 */
	if (!strchr("dDvqQfFL", words[0][0]) || strpbrk(words[0], "!^") ||
	    !expand(words[1], &path) || !expand(words[6], &argument))
		return 0;
	for (end = path.size; end > 1 && path.data[end - 1] == '/'; end--)
		buf_truncate(&path, end - 1);
	if (*buf_text(&path) != '/' || !buf_text(&path)[1])
		return 0;
	return make(*(const int *)data, words, buf_text(&path), buf_text(&argument));
}

int runner_make_files(int root_fd, struct cop_error *err)
{
	return runner_each_line(root_fd, "usr/lib/tmpfiles.d", take_words, &root_fd, err);
}
