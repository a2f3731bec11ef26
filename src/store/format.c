/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format file says that a directory is a store, and which version may use it.  It is
 * written last and synced, so a directory without it is no store yet, and one with it is
 * whole.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mutant.h"
#include "base/text.h"
#include "store/private.h"

#define FORMAT_LINE "coppice-store 1"
#define FORMAT_MAX  ((uint64_t)65536)

static const char *const directories[] = {
	"objects",
	"files",
	"refs",
	"refs/name",
	"refs/stage",
	"refs/failed",
	"views",
	"meta",
	"meta/refs",
	"meta/refs/name",
	"meta/refs/stage",
	"meta/refs/failed",
	"meta/files",
	"meta/damaged",
	"meta/log",
	"damaged",
	"sources",
	"tmp",
	"partial",
	"remotes",
};

static int check_first_line(const char *line, const char *path, struct cop_error *err)
{
	if (strcmp(line, FORMAT_LINE) == 0)
		return 0;
	if (text_starts_with(line, "coppice-store "))
		return err_set(err, -EPROTONOSUPPORT,
			       "open store '%s': it has format '%s', this coppice knows "
			       "'%s'; a newer coppice is needed",
			       path, line, FORMAT_LINE);
	return err_set(err, -EBADMSG,
		       "open store '%s': its file 'format' is not that of a store", path);
}

/* We know no feature yet, so any is a newer version's. */
static int check_feature(const char *line, const char *path, char **writes_need,
			 struct cop_error *err)
{
	if (text_starts_with(line, "writes-need ")) {
		if (!*writes_need)
			*writes_need = strdup(line + strlen("writes-need "));
		return *writes_need ? 0 : err_oom(err);
	}
	if (text_starts_with(line, "needs "))
		return err_set(err, -EPROTONOSUPPORT,
			       "open store '%s': it needs '%s', which this coppice does "
			       "not know; a newer one is needed",
			       path, line + strlen("needs "));
	return err_set(err, -EPROTONOSUPPORT,
		       "open store '%s': unknown line '%s' in its file 'format'; a newer "
		       "coppice is needed",
		       path, line);
}

int format_check(int store_fd, const char *path, char **ret_writes_need,
		 struct cop_error *err)
{
	auto_free char *writes_need = NULL;
	auto_buf text = {};
	char *line, *save = NULL;
	int r;

	r = fs_read_file(store_fd, "format", FORMAT_MAX, &text, err);
	if (r < 0)
		return err_prefix(err, r, "open store '%s'", path);
	if (strlen(buf_text(&text)) != text.size || text.size == 0)
		return check_first_line("", path, err);
	line = strtok_r(text.data, "\n", &save);
	r = check_first_line(line ? line : "", path, err);
	while (r == 0 && (line = strtok_r(NULL, "\n", &save)) != NULL)
		r = check_feature(line, path, &writes_need, err);
	if (r < 0)
		return r;
	*ret_writes_need = TAKE_PTR(writes_need);
	return 0;
}

int format_make_dirs(int store_fd, struct cop_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (mkdirat(store_fd, directories[i], 0700) < 0 && errno != EEXIST)
			return err_errno(err, "make directory '%s'", directories[i]);
	return 0;
}

/* What an interrupted creation may have left, and what mkfs puts into a new file system.
 */
static bool is_own_name(const char *name)
{
	if (strcmp(name, "lock") == 0 || strcmp(name, "format") == 0 ||
	    strcmp(name, "format.new") == 0 || strcmp(name, "lost+found") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (strcmp(name, directories[i]) == 0)
			return true;
	return false;
}

static int check_empty(int store_fd, const char *path, struct cop_error *err)
{
	char **names = NULL;
	size_t n_names = 0;
	int r;

	r = fs_list(store_fd, &names, &n_names, err);
	if (r < 0)
		return err_prefix(err, r, "make store '%s'", path);
	for (size_t i = 0; i < n_names && r == 0; i++)
		if (!is_own_name(names[i]))
			r = err_set(err, -EEXIST,
				    "make store '%s': the directory is not empty (it "
				    "holds '%s') and not a store",
				    path, names[i]);
	fs_list_free(names);
	return r;
}

static int write_format(int store_fd, struct cop_error *err)
{
	auto_close int fd =
		openat(store_fd, "format.new",
		       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_errno(err, "write 'format'");
	r = fs_write_all(fd, FORMAT_LINE "\n", strlen(FORMAT_LINE "\n"));
	if (r < 0)
		return err_code(err, r, "write 'format'");
	if (fchmod(fd, 0644) < 0 || (!mutant("format-sync") && fsync(fd) < 0) ||
	    renameat(store_fd, "format.new", store_fd, "format") < 0)
		return err_errno(err, "write 'format'");
	return mutant("store-sync") ? 0 : fs_sync_directory(store_fd, err);
}

/* Two processes may be here at once: the second waits, and finds all done. */
static int create_locked(int store_fd, struct cop_error *err)
{
	auto_close int lock_fd =
		openat(store_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	auto_close int parent_fd = -EBADF;
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct stat st;
	int r;

	if (lock_fd < 0)
		return err_errno(err, "make 'lock'");
	while (fcntl(lock_fd, F_OFD_SETLKW, &whole) < 0)
		if (errno != EINTR)
			return err_errno(err, "lock");
	if (fstatat(store_fd, "format", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	/* A default ACL of the directory above would give every file here xattrs. */
	(void)fremovexattr(store_fd, "system.posix_acl_default");
	(void)fremovexattr(store_fd, "system.posix_acl_access");
	if (fchmod(store_fd, 0700) < 0)
		return err_errno(err, "chmod");
	r = format_make_dirs(store_fd, err);
	if (r == 0)
		r = write_format(store_fd, err);
	if (r < 0)
		return r;
	parent_fd = openat(store_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The directory above may be unreadable for us: then its owner's sync counts. */
	return parent_fd < 0 || mutant("parent-sync") ? 0
						      : fs_sync_directory(parent_fd, err);
}

int format_create(int store_fd, const char *path, struct cop_error *err)
{
	int r = check_empty(store_fd, path, err);

	if (r < 0)
		return r;
	r = create_locked(store_fd, err);
	return r < 0 ? err_prefix(err, r, "make store '%s'", path) : 0;
}
