/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/reach.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "modkit/root.h"
#include "modules/stages/walk.h"

#define RECORD_SIZE_MAX (16 * MIB)

struct place {
	const char *path;
	/* Only files whose names end so; NULL: all. */
	const char *suffix;
	/* Without what is in the files: hundreds of megabytes. */
	bool names_only;
};

/* What the hooks of initramfs-tools, udev, lvm2, mdadm, cryptsetup, open-iscsi, multipath
 * and plymouth read that people write or any package may add to.  A change of their own
 * programs comes with a package that asks for a new initramfs. */
static const struct place places[] = {
	{"etc/crypttab", NULL, false},
	{"etc/initramfs-tools", NULL, false},
	{"etc/iscsi", NULL, false},
	{"etc/lvm", NULL, false},
	{"etc/mdadm", NULL, false},
	{"etc/modprobe.d", NULL, false},
	{"etc/modules", NULL, false},
	{"etc/modules-load.d", NULL, false},
	{"etc/multipath", NULL, false},
	{"etc/multipath.conf", NULL, false},
	{"etc/plymouth", NULL, false},
	{"etc/systemd/network", ".link", false},
	{"etc/udev", NULL, false},
	{"usr/lib/firmware", NULL, true},
	{"usr/lib/modprobe.d", NULL, false},
	{"usr/lib/modules", NULL, true},
	{"usr/lib/systemd/network", ".link", false},
	{"usr/share/initramfs-tools", NULL, false},
};

/* The ids of devices in it differ from one image to the next, and are seldom read. */
static const struct place fstab = {"etc/fstab", NULL, false};

struct record {
	const struct place *place;
	struct buf *text;
};

static int add_content(struct record *record, int parent_fd, const char *name,
		       const struct stat *st, struct cop_error *err)
{
	char target[PATH_MAX];
	ssize_t size;

	if (S_ISREG(st->st_mode))
		return fs_read_file(parent_fd, name, RECORD_SIZE_MAX, record->text, err);
	size = readlinkat(parent_fd, name, target, sizeof(target));
	if (size < 0)
		return err_errno(err, "read the symlink '%s'", name);
	return buf_append(record->text, target, (size_t)size) < 0 ? err_oom(err) : 0;
}

static int visit(void *data, int parent_fd, const char *name, const struct stat *st,
		 struct cop_error *err)
{
	struct record *record = data;
	const struct place *place = record->place;
	bool is_directory = S_ISDIR(st->st_mode);
	int r = 0;

	if (!is_directory && place->suffix && !text_ends_with(name, place->suffix))
		return 0;
	/* What a directory says of its size differs from one file system to another. */
	if (buf_printf(record->text, "%s %o %lld ", name, st->st_mode,
		       is_directory ? 0LL : (long long)st->st_size) < 0)
		return err_oom(err);
	if (S_ISLNK(st->st_mode) || (S_ISREG(st->st_mode) && !place->names_only))
		r = add_content(record, parent_fd, name, st, err);
	if (r < 0)
		return r;
	if (record->text->size > RECORD_SIZE_MAX)
		return err_set(err, -EFBIG, "'%s' is too large for a record",
			       place->path);
	return buf_append_char(record->text, '\n') < 0 ? err_oom(err) : 0;
}

static int leave(void *data, struct cop_error *err)
{
	struct record *record = data;

	return buf_append_text(record->text, "/\n") < 0 ? err_oom(err) : 0;
}

static int add_place(struct record *record, int tree_fd, struct cop_error *err)
{
	const struct walk_ops ops = {.visit = visit, .data = record, .leave = leave};
	const char *path = record->place->path;
	char name[NAME_MAX + 1];
	auto_close int parent_fd = -EBADF, fd = -EBADF;
	struct stat st;
	int r;

	if (buf_printf(record->text, "%s\n", path) < 0)
		return err_oom(err);
	r = root_stat(tree_fd, path, &st, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_code(err, r, "stat '%s'", path);
	if (!S_ISDIR(st.st_mode)) {
		parent_fd = root_open_parent(tree_fd, path, name, err);
		return parent_fd < 0 ? parent_fd
				     : visit(record, parent_fd, name, &st, err);
	}
	fd = fs_open_in_root(tree_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? fd : walk_below(fd, &ops, err);
}

static bool has_own_hooks(int tree_fd)
{
	auto_close int fd = fs_open_in_root(tree_fd, "etc/initramfs-tools/hooks",
					    O_RDONLY | O_DIRECTORY, 0, NULL);
	char **names = NULL;
	bool found = fd >= 0 && fs_list(fd, &names, NULL, NULL) == 0 && *names;

	(void)fs_list_free(names);
	return found;
}

/* Of the hooks of packages those of cryptsetup read it, where there is a crypttab. */
static bool fstab_reaches(int tree_fd, bool root_is_known)
{
	struct stat st;

	return !root_is_known || root_stat(tree_fd, "etc/crypttab", &st, NULL) == 0 ||
	       has_own_hooks(tree_fd);
}

int reach_describe(int tree_fd, bool root_is_known, struct buf *text,
		   struct cop_error *err)
{
	int r = 0;

	if (fstab_reaches(tree_fd, root_is_known))
		r = add_place(&(struct record){&fstab, text}, tree_fd, err);
	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++)
		r = add_place(&(struct record){&places[i], text}, tree_fd, err);
	return r;
}
