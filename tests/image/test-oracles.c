/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images seen by others: the kernel's EROFS and fsck.erofs.  Both need what not every
 * machine has; a test that cannot run says so and is skipped.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "images.h"

#include "base/process.h"
#include "base/text.h"

/* An image as a file in a directory of its own; goes away with file_done(). */
struct image_file {
	char dir[64];
	char path[80];
};

static void file_done(struct image_file *file)
{
	if (*file->path)
		(void)unlink(file->path);
	(void)rmdir(file->dir);
}
#define auto_file cleanup_with(file_done) struct image_file

/* Not in /tmp: that may be a tmpfs, whose files the kernel mounts nothing from. */
static struct image_file write_image_file(const char *name)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_image image = image_of(tree, IMAGE_VERSION);
	struct image_file file = {.dir = "/var/tmp/coppice-image-XXXXXX"};
	auto_close int fd = -EBADF;

	assert_non_null(mkdtemp(file.dir));
	(void)snprintf(file.path, sizeof(file.path), "%s/image", file.dir);
	fd = open(file.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, image.data, image.size), 0);
	return file;
}

/* A mount that no directory shows.  Return: its fd, or -errno where it cannot be had. */
static int mount_detached(const char *path)
{
	auto_close int context = fsopen("erofs", FSOPEN_CLOEXEC);
	char log[256] = "";
	int mount, code;

	if (context < 0)
		return -errno;
	if (fsconfig(context, FSCONFIG_SET_STRING, "source", path, 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		code = -errno;
		if (read(context, log, sizeof(log) - 1) > 0)
			print_message("kernel: %s\n", log);
		return code;
	}
	mount = fsmount(context, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -errno : mount;
}

static void compare_text(const char *path, const struct tree_node *inode, int dir_fd,
			 const char *name)
{
	char text[TREE_CONTENT_MAX + 2];
	ssize_t size;

	if (S_ISLNK(inode->mode)) {
		size = readlinkat(dir_fd, name, text, sizeof(text));
		if (size != (ssize_t)strlen(inode->target) ||
		    memcmp(text, inode->target, (size_t)size) != 0)
			fail_msg("%s: the symlink is another", path);
	} else if (S_ISREG(inode->mode) && inode->content) {
		auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		size = fs_pread_full(fd, text, sizeof(text), 0);
		if (size != (ssize_t)inode->size ||
		    memcmp(text, inode->content, (size_t)size) != 0)
			fail_msg("%s: the content is another", path);
	}
}

static void compare_xattrs(const char *path, const struct tree_node *inode, int dir_fd,
			   const char *name)
{
	static char value[65536];
	char proc_path[PATH_MAX];

	(void)snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", dir_fd, name);
	for (uint32_t i = 0; i < inode->n_xattrs; i++) {
		const struct tree_xattr *xattr = &inode->xattrs[i];
		ssize_t size;

		/* What the rewriting leaves alone and the kernel shows as it is; it
		 * keeps user.* to files and directories. */
		if (!text_starts_with(xattr->key, "security.") &&
		    !(text_starts_with(xattr->key, "user.") &&
		      (S_ISREG(inode->mode) || S_ISDIR(inode->mode)) && xattr->key[5]))
			continue;
		if (text_starts_with(xattr->key, "security.capability"))
			continue;
		size = lgetxattr(proc_path, xattr->key, value, sizeof(value));
		if (size != (ssize_t)xattr->size ||
		    memcmp(value, xattr->value, (size_t)size) != 0)
			fail_msg("%s: xattr '%s': %zd bytes: %s", path, xattr->key, size,
				 strerror(errno));
	}
}

static void compare_inode(const struct tree_node *node, int dir_fd, const char *name)
{
	const struct tree_node *inode = tree_inode(node);
	auto_free char *path = tree_path(node);
	mode_t mode = inode->mode;
	struct stat st;

	assert_non_null(path);
	if (tree_is_whiteout(inode))
		mode = S_IFREG | (mode & 07777);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (st.st_mode != mode || st.st_uid != inode->uid || st.st_gid != inode->gid)
		fail_msg("%s: mode %o owner %u:%u", path, st.st_mode, st.st_uid,
			 st.st_gid);
	if (st.st_mtim.tv_sec != inode->mtime_sec ||
	    st.st_mtim.tv_nsec != inode->mtime_nsec)
		fail_msg("%s: mtime %lld.%ld", path, (long long)st.st_mtim.tv_sec,
			 st.st_mtim.tv_nsec);
	if (S_ISREG(inode->mode) && (uint64_t)st.st_size != inode->size)
		fail_msg("%s: %lld bytes", path, (long long)st.st_size);
	if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) &&
	    st.st_rdev != tree_rdev_to_dev(inode->rdev))
		fail_msg("%s: another device", path);
	if (!S_ISDIR(inode->mode) && st.st_nlink != inode->nlink)
		fail_msg("%s: %llu links", path, (unsigned long long)st.st_nlink);
	compare_text(path, inode, dir_fd, name);
	compare_xattrs(path, inode, dir_fd, name);
}

static void compare_directory(const struct tree_node *dir, int parent_fd,
			      const char *name)
{
	auto_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct cop_error err = {};
	char **names = NULL;
	size_t n_names = 0, n_expected = dir->n_children;

	assert_true(fd >= 0);
	assert_ok(fs_list(fd, &names, &n_names, &err), &err);
	for (unsigned int i = 0; !dir->parent && i < 256; i++) {
		char hex[3];

		(void)snprintf(hex, sizeof(hex), "%02x", i);
		if (!tree_child(dir, hex, 2))
			n_expected++;
	}
	assert_int_equal(n_names, n_expected);
	for (uint32_t i = 0; i < dir->n_children; i++) {
		const struct tree_node *child = dir->children[i];

		compare_inode(child, fd, child->name);
		if (!child->link && S_ISDIR(child->mode))
			compare_directory(child, fd, child->name);
	}
	fs_list_free(names);
}

static bool is_reason_to_skip(int code)
{
	return code == -EPERM || code == -ENODEV || code == -ENOTBLK || code == -ENOSYS;
}

static unsigned int n_mounted;
static int mount_refused;

static void compare_with_kernel(const char *name)
{
	auto_ptr(tree) tree = tree_of_vector(name);
	auto_file file = write_image_file(name);
	auto_close int mount_fd = mount_detached(file.path);

	if (mount_fd < 0 && is_reason_to_skip(mount_fd)) {
		mount_refused = mount_fd;
		return;
	}
	if (mount_fd < 0)
		fail_msg("%s: mount: %s", name, strerror(-mount_fd));
	compare_directory(tree->root, mount_fd, ".");
	n_mounted++;
}

static void the_kernel_shows_every_tree_as_it_is(void **state)
{
	(void)state;
	for_each_vector(compare_with_kernel);
	if (mount_refused && n_mounted == 0) {
		print_message("SKIPPED: no EROFS mount from a file here: %s\n",
			      strerror(-mount_refused));
		skip();
	}
	assert_int_equal(mount_refused, 0);
}

static bool fsck_is_missing;

static void check_with_fsck(const char *name)
{
	auto_file file = write_image_file(name);
	const char *const argv[] = {"fsck.erofs", file.path, NULL};
	struct cop_error err = {};
	auto_buf output = {};
	int r;

	if (fsck_is_missing)
		return;
	r = process_check(argv, NULL, &output, &err);
	if (r == -ENOENT || r == -EACCES)
		fsck_is_missing = true;
	else
		assert_ok(r, &err);
}

static void fsck_finds_nothing_wrong(void **state)
{
	(void)state;
	for_each_vector(check_with_fsck);
	if (fsck_is_missing) {
		print_message("SKIPPED: no fsck.erofs here (package erofs-utils)\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_shows_every_tree_as_it_is),
		cmocka_unit_test(fsck_finds_nothing_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
