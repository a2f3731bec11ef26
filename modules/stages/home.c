/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/home.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/copytree.h"

static mode_t home_mode(struct accounts *accounts)
{
	const char *mode = accounts_default(accounts, "HOME_MODE", NULL);
	const char *mask = accounts_default(accounts, "UMASK", "022");

	return (mode ? (mode_t)strtoul(mode, NULL, 8)
		     : 0777 & ~(mode_t)strtoul(mask, NULL, 8)) &
	       07777;
}

static int fill(struct kit *kit, const char *skeleton, const char *home, uid_t uid,
		gid_t gid)
{
	const struct location from = {kit->tree_fd, skeleton, true},
			      to = {kit->tree_fd, home, false};
	const struct copytree_options options = {.owner = &uid, .group = &gid};
	auto_close int fd =
		fs_open_in_root(kit->tree_fd, skeleton, O_PATH | O_DIRECTORY, 0, NULL);

	return fd < 0 ? 0 : copytree(&from, &to, &options, kit->err);
}

int home_make(struct kit *kit, struct accounts *accounts, const char *home, uid_t uid,
	      gid_t gid)
{
	const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	auto_close int there = fs_open_in_root(kit->tree_fd, home, O_PATH, 0, NULL);
	auto_close int fd = -EBADF;
	int r;

	if (there >= 0)
		return 0;
	r = root_make_dirs(kit->tree_fd, home, 0755, kit->err);
	if (r == 0)
		r = fill(kit, accounts_user_default(accounts, "SKEL", "/etc/skel"), home,
			 uid, gid);
	if (r < 0)
		return r;
	fd = fs_open_in_root(kit->tree_fd, home, O_RDONLY | O_DIRECTORY, 0, kit->err);
	if (fd < 0)
		return fd;
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, home_mode(accounts)) < 0 ||
	    futimens(fd, now) < 0)
		return err_errno(kit->err, "make home directory '%s'", home);
	return 0;
}

static int open_ssh(struct kit *kit, const char *home, uid_t uid, gid_t gid)
{
	auto_close int home_fd =
		fs_open_in_root(kit->tree_fd, home, O_RDONLY | O_DIRECTORY, 0, kit->err);
	auto_close int fd = -EBADF;

	if (home_fd < 0)
		return err_prefix(kit->err, home_fd, "keys need the home directory");
	if (mkdirat(home_fd, ".ssh", 0700) == 0) {
		if (fchownat(home_fd, ".ssh", uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			return err_errno(kit->err, "set owner of '.ssh'");
	} else if (errno != EEXIST) {
		return err_errno(kit->err, "make directory '.ssh'");
	}
	fd = openat(home_fd, ".ssh", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(kit->err, "open '%s/.ssh'", home) : TAKE_FD(fd);
}

static int add_key(struct kit *kit, const char *key, struct buf *text)
{
	int r = options_one_line(key, "key", "", kit->err);

	return r == 0 ? buf_printf(text, "%s\n", key) : r;
}

int home_add_keys(struct kit *kit, const char *home, const json_t *keys, const char *key,
		  uid_t uid, gid_t gid)
{
	auto_close int ssh = -EBADF, fd = -EBADF;
	auto_buf text = {};
	struct stat st;
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(keys); i++) {
		const char *each = NULL;

		r = options_text_at(keys, i, "keys", &each, kit->err);
		if (r == 0)
			r = add_key(kit, each, &text);
	}
	if (r == 0 && key && *key)
		r = add_key(kit, key, &text);
	if (r < 0 || text.size == 0)
		return r;
	ssh = open_ssh(kit, home, uid, gid);
	if (ssh < 0)
		return ssh;
	fd = openat(ssh, "authorized_keys",
		    O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		    0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(kit->err, "open '%s/.ssh/authorized_keys'", home);
	if (!S_ISREG(st.st_mode))
		return err_set(kit->err, -EINVAL,
			       "'%s/.ssh/authorized_keys' is not a regular file", home);
	r = fs_write_all(fd, text.data, text.size);
	if (r < 0)
		return err_code(kit->err, r, "write '%s/.ssh/authorized_keys'", home);
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, 0600) < 0)
		return err_errno(kit->err, "set owner of '%s/.ssh/authorized_keys'",
				 home);
	return 0;
}
