/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "tree/scan.h"

#define NOBODY 65534

struct place {
	char path[64];
	int fd;
	unsigned int n_content, n_locks;
	bool locked;
	int content_result;
	bool remove_the_other; /* whichever of 'a' and 'b' is read first */
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return -1;
	(void)strcpy(place->path, "/tmp/coppice-scan-XXXXXX");
	if (!mkdtemp(place->path) || chmod(place->path, 0755) < 0)
		return -1;
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = place;
	return place->fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct place *place = *state;
	struct cop_error err = {};
	int r = fs_remove_all(AT_FDCWD, place->path, true, &err);

	closep(&place->fd);
	free(place);
	return r;
}

static void make_file(int dir_fd, const char *name, const char *text)
{
	struct cop_error err = {};

	assert_ok(fs_write_new(dir_fd, name, text, strlen(text), 0644, &err), &err);
}

static void lock(void *data)
{
	struct place *place = data;

	assert_false(place->locked);
	place->locked = true;
	place->n_locks++;
}

static void unlock(void *data)
{
	struct place *place = data;

	assert_true(place->locked);
	place->locked = false;
}

static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	struct place *place = data;
	auto_close int owned = fd;
	char bytes[TREE_INLINE_MAX];
	struct cop_digest digest = {.bytes = {(uint8_t)st->st_size}};

	assert_false(place->locked);
	place->n_content++;
	if (place->content_result < 0)
		return err_set(err, place->content_result, "no content of '%s'", path);
	if (place->remove_the_other)
		(void)unlinkat(place->fd, strcmp(path, "a") == 0 ? "b" : "a", 0);
	if (st->st_size > TREE_INLINE_MAX)
		return tree_set_digest(tree, node, &digest, err);
	assert_int_equal(read(owned, bytes, sizeof(bytes)), st->st_size);
	return tree_set_content(tree, node, bytes, (size_t)st->st_size, err);
}

static int scan(struct place *place, struct tree_scan_report *report, struct tree **ret,
		struct cop_error *err)
{
	struct tree_scan_options options = {
		.content = take_content,
		.lock = lock,
		.unlock = unlock,
		.data = place,
		.report = report,
	};
	int r = tree_scan(place->fd, &options, ret, err);

	assert_false(place->locked);
	return r;
}

static struct tree *scan_well(struct place *place)
{
	struct tree *tree = NULL;
	struct cop_error err = {};

	assert_ok(scan(place, NULL, &tree, &err), &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	return tree;
}

static void assert_scan_fails(struct place *place, int code, const char *message)
{
	struct tree *tree = (void *)&tree;
	struct cop_error err = {};

	assert_fails(scan(place, NULL, &tree, &err), code, &err);
	assert_string_equal(err.message, message);
	assert_ptr_equal(tree, (void *)&tree);
}

static void make_socket(const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	assert_int_equal(bind(fd, (void *)&address, sizeof(address)), 0);
}

static void every_type_and_its_metadata_are_taken(void **state)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
					 {.tv_sec = -86400, .tv_nsec = 123456789}};
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	const struct tree_node *node;

	make_file(place->fd, "file", "hello");
	assert_int_equal(fchmodat(place->fd, "file", 06755, 0), 0);
	assert_int_equal(utimensat(place->fd, "file", times, 0), 0);
	assert_int_equal(mkdirat(place->fd, "dir", 0700), 0);
	assert_int_equal(fchmodat(place->fd, "dir", 01777, 0), 0);
	make_file(place->fd, "dir/empty", "");
	assert_int_equal(symlinkat("/nowhere/at all", place->fd, "link"), 0);
	assert_int_equal(utimensat(place->fd, "link", times, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(mkfifoat(place->fd, "fifo", 0600), 0);
	make_socket(place->path);
	tree = scan_well(place);

	assert_int_equal(tree->n_nodes, 7);
	assert_int_equal(tree->root->mode, S_IFDIR | 0755);
	node = tree_find(tree, "file");
	assert_int_equal(node->mode, S_IFREG | 06755);
	assert_int_equal(node->mtime_sec, -86400);
	assert_int_equal(node->mtime_nsec, 123456789);
	assert_int_equal(node->uid, getuid());
	assert_int_equal(node->gid, getgid());
	assert_int_equal(node->size, 5);
	assert_string_equal(node->content, "hello");
	assert_int_equal(tree_find(tree, "dir")->mode, S_IFDIR | 01777);
	node = tree_find(tree, "dir/empty");
	assert_int_equal(node->size, 0);
	assert_null(node->content);
	node = tree_find(tree, "link");
	assert_true(S_ISLNK(node->mode));
	assert_string_equal(node->target, "/nowhere/at all");
	assert_int_equal(node->mtime_sec, -86400);
	assert_int_equal(tree_find(tree, "fifo")->mode, S_IFIFO | 0600);
	assert_true(S_ISSOCK(tree_find(tree, "socket")->mode));
	assert_int_equal(place->n_content, 1);
	assert_true(place->n_locks >= 6);
}

static void names_may_hold_any_byte(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	char longest[256];

	memset(longest, '\xff', 255);
	longest[255] = '\0';
	make_file(place->fd, longest, "");
	make_file(place->fd, "new\nline", "");
	make_file(place->fd, "%s%n", "");
	make_file(place->fd, "\x01\x7f\x80", "");
	tree = scan_well(place);
	assert_int_equal(tree->n_nodes, 5);
	assert_non_null(tree_find(tree, longest));
	assert_non_null(tree_find(tree, "new\nline"));
	assert_non_null(tree_find(tree, "%s%n"));
	assert_non_null(tree_find(tree, "\x01\x7f\x80"));
}

static void hard_links_are_one_inode_and_read_once(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	const struct tree_node *inode;

	make_file(place->fd, "zzz", "shared");
	assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
	assert_int_equal(linkat(place->fd, "zzz", place->fd, "d/m", 0), 0);
	assert_int_equal(linkat(place->fd, "zzz", place->fd, "aaa", 0), 0);
	assert_int_equal(symlinkat("t", place->fd, "s1"), 0);
	assert_int_equal(linkat(place->fd, "s1", place->fd, "d/s2", 0), 0);
	tree = scan_well(place);
	inode = tree_find(tree, "aaa");
	assert_null(inode->link);
	assert_int_equal(inode->nlink, 3);
	assert_string_equal(inode->content, "shared");
	assert_ptr_equal(tree_find(tree, "d/m")->link, inode);
	assert_ptr_equal(tree_find(tree, "zzz")->link, inode);
	assert_ptr_equal(tree_find(tree, "s1")->link, tree_find(tree, "d/s2"));
	assert_int_equal(place->n_content, 1);
}

static void a_link_from_outside_is_no_link(void **state)
{
	struct place *place = *state;
	auto_close int inside = -EBADF;
	auto_ptr(tree) tree = NULL;
	struct place below = {};

	assert_int_equal(mkdirat(place->fd, "inside", 0755), 0);
	make_file(place->fd, "inside/file", "x");
	assert_int_equal(linkat(place->fd, "inside/file", place->fd, "outside", 0), 0);
	inside = openat(place->fd, "inside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	below.fd = inside;
	tree = scan_well(&below);
	assert_int_equal(tree_find(tree, "file")->nlink, 1);
}

static void the_report_counts_names_and_bytes_once(void **state)
{
	struct place *place = *state;
	struct tree_scan_report report = {};
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	make_file(place->fd, "a", "12345");
	make_file(place->fd, "b", "123");
	assert_int_equal(linkat(place->fd, "a", place->fd, "c", 0), 0);
	assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
	assert_int_equal(symlinkat("123456789", place->fd, "e"), 0);
	assert_ok(scan(place, &report, &tree, &err), &err);
	assert_int_equal(report.n_entries, tree->n_nodes);
	assert_int_equal(report.n_entries, 6);
	assert_int_equal(report.n_bytes, 8);
	assert_int_equal(report.n_foreign_xattrs, 0);
}

static void the_position_of_the_directory_does_not_matter(void **state)
{
	struct place *place = *state;
	char bytes[1024];

	make_file(place->fd, "a", "");
	while (getdents64(place->fd, bytes, sizeof(bytes)) > 0)
		;
	for (int i = 0; i < 2; i++) {
		auto_ptr(tree) tree = scan_well(place);

		assert_int_equal(tree->n_nodes, 2);
	}
}

static void a_failure_to_take_content_ends_the_scan(void **state)
{
	struct place *place = *state;

	make_file(place->fd, "a", "12345");
	make_file(place->fd, "b", "12345");
	place->content_result = -ENOSPC;
	assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
	assert_int_equal(renameat(place->fd, "b", place->fd, "d/b"), 0);
	assert_int_equal(unlinkat(place->fd, "a", 0), 0);
	assert_scan_fails(place, -ENOSPC, "no content of 'd/b'");
	assert_int_equal(place->n_content, 1);
}

static void a_name_that_vanishes_is_an_error(void **state)
{
	struct place *place = *state;
	struct tree *tree = NULL;
	struct cop_error err = {};

	make_file(place->fd, "a", "12345");
	make_file(place->fd, "b", "12345");
	place->remove_the_other = true;
	assert_fails(scan(place, NULL, &tree, &err), -ESTALE, &err);
	assert_int_equal(err.code, -ESTALE);
	assert_non_null(strstr(err.message, "' vanished while its directory was read"));
}

static void user_xattrs_are_taken(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	const struct tree_xattr *xattr;
	auto_free char *value = calloc(1, 2000);
	char path[128];

	make_file(place->fd, "file", "x");
	make_file(place->fd, "empty", "");
	memset(value, 'v', 2000);
	value[1] = '\0';
	if (fsetxattr(place->fd, "user.root", "r", 1, 0) < 0 && errno == EOPNOTSUPP) {
		print_message("no user xattrs below /tmp\n");
		skip();
	}
	(void)snprintf(path, sizeof(path), "%s/file", place->path);
	assert_int_equal(setxattr(path, "user.long", value, 2000, 0), 0);
	assert_int_equal(setxattr(path, "user.empty", "", 0, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/empty", place->path);
	assert_int_equal(setxattr(path, "user.a", "b", 1, 0), 0);
	tree = scan_well(place);
	assert_string_equal(tree_find_xattr(tree->root, "user.root")->value, "r");
	xattr = tree_find_xattr(tree_find(tree, "file"), "user.long");
	assert_non_null(xattr);
	assert_int_equal(xattr->size, 2000);
	assert_memory_equal(xattr->value, value, 2000);
	xattr = tree_find_xattr(tree_find(tree, "file"), "user.empty");
	assert_non_null(xattr);
	assert_int_equal(xattr->size, 0);
	assert_string_equal(tree_find_xattr(tree_find(tree, "empty"), "user.a")->value,
			    "b");
}

static void need_root(const char *what)
{
	if (geteuid() == 0)
		return;
	print_message("%s needs root\n", what);
	skip();
}

/* Version 2, one permitted capability. */
static void privileged_xattrs_and_devices_are_taken(void **state)
{
	static const uint8_t capability[20] = {0, 0, 0, 2, 0, 4};
	/* user::rw-, user:1:r--, group::r--, mask::r--, other::r-- */
	/* version 2, then tag, permissions and id of each entry, all little-endian */
#define ENTRY(tag, permissions, id) tag, 0, permissions, 0, id, id, id, id
	static const uint8_t acl[] = {2,
				      0,
				      0,
				      0,
				      ENTRY(0x01, 6, 0xff),
				      ENTRY(0x02, 4, 1),
				      ENTRY(0x04, 4, 0xff),
				      ENTRY(0x10, 4, 0xff),
				      ENTRY(0x20, 4, 0xff)};
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	const struct tree_node *node;
	char path[128];

	need_root("making devices");
	make_file(place->fd, "file", "x");
	if (mknodat(place->fd, "dev", S_IFCHR | 0600, makedev(300, 70000)) < 0 ||
	    mknodat(place->fd, "whiteout", S_IFCHR, 0) < 0) {
		print_message("devices cannot be made here\n");
		skip();
	}
	assert_int_equal(symlinkat("t", place->fd, "link"), 0);
	(void)snprintf(path, sizeof(path), "%s/link", place->path);
	assert_int_equal(lsetxattr(path, "trusted.link", "l", 1, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/dev", place->path);
	assert_int_equal(lsetxattr(path, "trusted.dev", "d", 1, 0), 0);
	(void)snprintf(path, sizeof(path), "%s/file", place->path);
	assert_int_equal(fchownat(place->fd, "file", 12, 34, 0), 0);
	assert_int_equal(
		setxattr(path, "security.capability", capability, sizeof(capability), 0),
		0);
	assert_int_equal(setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0),
			 0);
	tree = scan_well(place);
	node = tree_find(tree, "dev");
	assert_true(S_ISCHR(node->mode));
	assert_int_equal(tree_rdev_to_dev(node->rdev), makedev(300, 70000));
	assert_non_null(tree_find_xattr(node, "trusted.dev"));
	assert_true(tree_is_whiteout(tree_find(tree, "whiteout")));
	assert_non_null(tree_find_xattr(tree_find(tree, "link"), "trusted.link"));
	node = tree_find(tree, "file");
	assert_int_equal(node->uid, 12);
	assert_int_equal(node->gid, 34);
	assert_int_equal(tree_find_xattr(node, "security.capability")->size, 20);
	assert_non_null(tree_find_xattr(node, "system.posix_acl_access"));
}

static void what_cannot_be_read_is_named(void **state)
{
	struct place *place = *state;

	assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
	make_file(place->fd, "d/secret", "x");
	assert_int_equal(fchmodat(place->fd, "d/secret", 0, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_scan_fails(place, -EACCES, "open 'd/secret': Permission denied");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchmodat(place->fd, "d/secret", 0644, 0), 0);
	assert_int_equal(fchmodat(place->fd, "d", 0, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_scan_fails(place, -EACCES, "open 'd': Permission denied");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(fchmodat(place->fd, "d", 0755, 0), 0);
}

/* One of a plain user may be mode 000 and is no secret: there is nothing in it. */
static void an_empty_file_need_not_be_readable(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;

	make_file(place->fd, "lock", "");
	assert_int_equal(fchmodat(place->fd, "lock", 0, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	tree = scan_well(place);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(tree_find(tree, "lock")->mode, S_IFREG);
}

static void mount_points_below_are_refused(void **state)
{
	struct place *place = *state;
	char mounted[128], source[128];

	need_root("mounting");
	assert_int_equal(mkdirat(place->fd, "d", 0755), 0);
	assert_int_equal(mkdirat(place->fd, "d/mnt", 0755), 0);
	make_file(place->fd, "d/file", "x");
	make_file(place->fd, "source", "y");
	(void)snprintf(mounted, sizeof(mounted), "%s/d/mnt", place->path);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", mounted, "tmpfs", 0, NULL) < 0) {
		print_message("nothing can be mounted here\n");
		skip();
	}
	/* What was open before is still in the old namespace and sees no mount. */
	closep(&place->fd);
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_scan_fails(place, -EXDEV,
			  "'d/mnt' is a mount point; unmount it, or take a copy of the "
			  "directory without it");
	assert_int_equal(umount2(mounted, MNT_DETACH), 0);
	/* A bind mount of the same file system has the same device number. */
	assert_int_equal(mount(place->path, mounted, NULL, MS_BIND, NULL), 0);
	assert_scan_fails(place, -EXDEV,
			  "'d/mnt' is a mount point; unmount it, or take a copy of the "
			  "directory without it");
	assert_int_equal(umount2(mounted, MNT_DETACH), 0);
	(void)snprintf(source, sizeof(source), "%s/source", place->path);
	(void)snprintf(mounted, sizeof(mounted), "%s/d/file", place->path);
	assert_int_equal(mount(source, mounted, NULL, MS_BIND, NULL), 0);
	assert_scan_fails(place, -EXDEV,
			  "'d/file' is a mount point; unmount it, or take a copy of the "
			  "directory without it");
	assert_int_equal(umount2(mounted, MNT_DETACH), 0);
}

static void the_root_may_be_a_mount_point(void **state)
{
	struct place *place = *state;
	struct place mounted = {};
	auto_ptr(tree) tree = NULL;

	need_root("mounting");
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", place->path, "tmpfs", 0, NULL) < 0) {
		print_message("nothing can be mounted here\n");
		skip();
	}
	mounted.fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file(mounted.fd, "file", "x");
	tree = scan_well(&mounted);
	assert_int_equal(tree->n_nodes, 2);
	closep(&mounted.fd);
	assert_int_equal(umount2(place->path, MNT_DETACH), 0);
}

/* "d" in "d" in "d"...; with one directory open at a time. */
static int make_deep(int dir_fd, unsigned int depth)
{
	int fd = dup(dir_fd);

	for (unsigned int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		closep(&fd);
		fd = next;
	}
	return fd;
}

static void remove_deep(int fd, unsigned int depth)
{
	for (unsigned int i = 0; i < depth; i++) {
		int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		closep(&fd);
		(void)unlinkat(parent, "file", 0);
		assert_int_equal(unlinkat(parent, "d", AT_REMOVEDIR), 0);
		fd = parent;
	}
	closep(&fd);
}

static void deep_directories_need_few_open_files(void **state)
{
	struct place *place = *state;
	struct rlimit before, limit;
	int fd = make_deep(place->fd, 1024);
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};
	int middle = dup(fd);

	/* On the way back there is still something to read. */
	for (int i = 0; i < 512; i++) {
		int parent = openat(middle, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		closep(&middle);
		middle = parent;
		make_file(middle, "file", "x");
	}
	closep(&middle);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_ok(scan(place, NULL, &tree, &err), &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(tree->n_nodes, 1 + 1024 + 512);
	assert_int_equal(place->n_content, 512);
	remove_deep(fd, 1024);
}

static void deeper_directories_are_refused(void **state)
{
	struct place *place = *state;
	int fd = make_deep(place->fd, 1025);
	struct tree *tree = NULL;
	struct cop_error err = {};

	assert_fails(scan(place, NULL, &tree, &err), -ERANGE, &err);
	assert_null(tree);
	remove_deep(fd, 1025);
}

static void a_scan_without_content_opens_no_file(void **state)
{
	struct place *place = *state;
	struct tree_scan_options options = {};
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	make_file(place->fd, "file", "hello");
	assert_int_equal(fchmodat(place->fd, "file", 0, 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_ok(tree_scan(place->fd, &options, &tree, &err), &err);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(tree_find(tree, "file")->size, 5);
	assert_null(tree_find(tree, "file")->content);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_type_and_its_metadata_are_taken),
		TEST(names_may_hold_any_byte),
		TEST(hard_links_are_one_inode_and_read_once),
		TEST(a_link_from_outside_is_no_link),
		TEST(the_report_counts_names_and_bytes_once),
		TEST(the_position_of_the_directory_does_not_matter),
		TEST(a_failure_to_take_content_ends_the_scan),
		TEST(a_name_that_vanishes_is_an_error),
		TEST(user_xattrs_are_taken),
		TEST(privileged_xattrs_and_devices_are_taken),
		TEST(what_cannot_be_read_is_named),
		TEST(an_empty_file_need_not_be_readable),
		TEST(mount_points_below_are_refused),
		TEST(the_root_may_be_a_mount_point),
		TEST(deep_directories_need_few_open_files),
		TEST(deeper_directories_are_refused),
		TEST(a_scan_without_content_opens_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
