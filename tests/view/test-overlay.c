/* SPDX-License-Identifier: Apache-2.0 */
/* What is only true of overlay views: nothing is read or copied without need, nobody
 * changes a tree under a commit, and every oddity of the kernel's overlay has an answer.
 */
#include "viewlib.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/fs.h"
#include "store/object.h"
#include "view/overlay.h"

#define LARGE 200000

static struct cop_object *new_object(struct scratch *scratch, const char *base)
{
	struct cop_object *object = NULL;
	struct cop_error err = {};

	assert_ok(cop_object_new(scratch->store, base, &object, &err), &err);
	return object;
}

static const char *begin(struct cop_object *object)
{
	struct cop_error err = {};
	const char *path = NULL;

	assert_ok(cop_object_write(object, &path, &err), &err);
	return path;
}

static void end(struct cop_object *object)
{
	struct cop_error err = {};

	assert_ok(cop_object_write_end(object, &err), &err);
}

static struct cop_digest commit(struct scratch *scratch, struct cop_object *object,
				const char *name)
{
	struct cop_digest digest = {};
	struct cop_error err = {};

	end(object);
	assert_ok(cop_store_commit(scratch->store, object, name, &digest, &err), &err);
	return digest;
}

static void refused(struct scratch *scratch, struct cop_object *object, int code,
		    const char *word)
{
	struct cop_error err = {};

	end(object);
	assert_fails(cop_store_commit(scratch->store, object, "result", NULL, &err), code,
		     &err);
	if (!strstr(err.message, word))
		fail_msg("'%s' is not in: %s", word, err.message);
}

static void write_large(const char *dir, const char *name, char fill)
{
	auto_free char *text = malloc(LARGE + 1);

	assert_non_null(text);
	(void)memset(text, fill, LARGE);
	text[LARGE] = '\0';
	write_file(dir, name, text);
}

static int count_pool(const struct scratch *scratch)
{
	auto_close int fd = openat(store_fd(scratch->store), "files",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	int n_files = 0;

	assert_int_equal(fs_list(fd, &names, NULL, NULL), 0);
	for (char **name = names; *name; name++)
		n_files += scratch_count(scratch, join("files", *name));
	fs_list_free(names);
	return n_files;
}

/* The image of an object, spoilt or put right again: its last byte. */
static void flip_image(struct scratch *scratch, const struct cop_digest *digest)
{
	char hex[COP_DIGEST_HEX + 1], path[128];
	auto_close int fd = -EBADF;
	struct stat st;
	char byte;

	(void)cop_digest_to_hex(digest, hex);
	(void)snprintf(path, sizeof(path), "objects/%.2s/%s", hex, hex + 2);
	fd = openat(store_fd(scratch->store), path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 1), 1);
	byte = (char)~byte;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 1), 1);
}

/* The superblock of an image, made one of nothing. */
static void spoil_image(struct scratch *scratch, const struct cop_digest *digest)
{
	char hex[COP_DIGEST_HEX + 1], path[128];
	auto_close int fd = -EBADF;

	(void)cop_digest_to_hex(digest, hex);
	(void)snprintf(path, sizeof(path), "objects/%.2s/%s", hex, hex + 2);
	fd = openat(store_fd(scratch->store), path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "none", 4, 1024), 4);
}

static void an_untouched_view_is_committed_without_reading_the_image(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base"), found;
	struct cop_object *object = new_object(scratch, "base");
	struct cop_error err = {};

	begin(object);
	flip_image(scratch, &base);
	assert_digests_equal(commit(scratch, object, "same"), base);
	begin(object);
	end(object);
	assert_ok(cop_object_digest(object, &found, &err), &err);
	assert_digests_equal(found, base);
	flip_image(scratch, &base);
	cop_object_free(object);
}

static void a_change_of_the_root_alone_is_seen(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest base = commit_sample(scratch, "base");
	struct cop_object *object = new_object(scratch, "base");
	const char *path = begin(object);
	auto_ptr(tree) tree = NULL;

	/* In the same tick of the clock as the mount. */
	assert_int_equal(setxattr(path, "user.root", "1", 1, 0), 0);
	assert_digests_differ(commit(scratch, object, "result"), base);
	tree = committed_tree(scratch, "result");
	assert_non_null(tree_find_xattr(tree->root, "user.root"));
	path = begin(object);
	assert_int_equal(removexattr(path, "user.root"), 0);
	assert_digests_equal(commit(scratch, object, "result"), base);
	cop_object_free(object);
}

static void a_change_of_metadata_costs_no_data(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct object_changes found;
	struct cop_error err = {};
	const char *path = begin(object);
	int n_files;

	write_large(path, "large", 'x');
	commit(scratch, object, "base");
	n_files = count_pool(scratch);
	path = begin(object);
	assert_int_equal(chown(join(path, "large"), 5, 6), 0);
	assert_int_equal(chmod(join(path, "large"), 0600), 0);
	write_times(path, "large", 77);
	end(object);
	assert_ok(object_changes(object, &found, &err), &err);
	assert_int_equal(found.n_changed, 1);
	assert_int_equal(found.n_changed_bytes, 0);
	commit(scratch, object, "result");
	assert_int_equal(count_pool(scratch), n_files);
	cop_object_free(object);
}

static void opening_for_writing_copies_up_but_stores_nothing_new(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct object_changes found;
	struct cop_digest base;
	struct cop_error err = {};
	const char *path = begin(object);
	int n_files, fd;

	write_large(path, "large", 'x');
	base = commit(scratch, object, "base");
	n_files = count_pool(scratch);
	path = begin(object);
	fd = open(join(path, "large"), O_WRONLY | O_CLOEXEC);
	assert_int_equal(close(fd), 0);
	end(object);
	assert_ok(object_changes(object, &found, &err), &err);
	assert_int_equal(found.n_changed_bytes, LARGE);
	assert_digests_equal(commit(scratch, object, "result"), base);
	assert_int_equal(count_pool(scratch), n_files);
	cop_object_free(object);
}

static void new_files_reach_the_pool_without_anything_of_their_own(void **state)
{
	char payload[TREE_PAYLOAD_SIZE];
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0};
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	const char *path = begin(object), *file = join(path, "program");
	char pool[128];
	auto_ptr(tree) tree = NULL;
	const struct tree_node *node;
	struct stat st;

	write_large(path, "program", 'p');
	assert_int_equal(chown(file, 5, 6), 0);
	assert_int_equal(chmod(file, 04755), 0);
	assert_int_equal(setxattr(file, "security.capability", capability, 20, 0), 0);
	assert_int_equal(setxattr(file, "user.note", "mine", 4, 0), 0);
	assert_int_equal(link(file, join(path, "second")), 0);
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	node = tree_inode(tree_find(tree, "program"));
	assert_int_equal(node->mode, S_IFREG | 04755);
	assert_int_equal(node->uid, 5);
	assert_int_equal(node->nlink, 2);
	assert_non_null(tree_find_xattr(node, "security.capability"));
	assert_non_null(tree_find_xattr(node, "user.note"));
	(void)snprintf(pool, sizeof(pool), "%s/files/%s", scratch->store_path,
		       tree_payload_of(node, payload));
	assert_int_equal(stat(pool, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
	/* No other name is a way to it. */
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(listxattr(pool, NULL, 0), 0);
	cop_object_free(object);
}

static void a_view_goes_on_after_its_digest_and_after_a_clamp(void **state)
{
	struct scratch *scratch = *state;
	struct cop_digest expected, found;
	struct cop_error err = {};
	struct cop_object *object;
	const char *path;

	commit_sample(scratch, "base");
	object = new_object(scratch, "base");
	for (int i = 0; i < 3; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "new%d", i);
		path = begin(object);
		write_large(path, name, (char)('a' + i));
		end(object);
		assert_ok(object_clamp(object, 1000, &err), &err);
		assert_ok(cop_object_digest(object, &found, &err), &err);
		path = begin(object);
		expected = directory_digest(scratch, path);
		assert_digests_equal(found, expected);
		end(object);
	}
	assert_digests_equal(commit(scratch, object, "result"), found);
	cop_object_free(object);
}

static void hard_links_of_the_base_change_together(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object;
	auto_ptr(tree) tree = NULL;
	const char *path;

	commit_sample(scratch, "base");
	object = new_object(scratch, "base");
	path = begin(object);
	/* Two of three names never come to the upper directory, and the third goes. */
	write_file(path, "first-name", "shared by three names before");
	assert_int_equal(chmod(join(path, "first-name"), 0600), 0);
	assert_int_equal(unlink(join(path, "first-name")), 0);
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	assert_null(tree_find(tree, "first-name"));
	assert_ptr_equal(tree_inode(tree_find(tree, "etc/second-name")),
			 tree_inode(tree_find(tree, "third-name")));
	assert_string_equal(tree_inode(tree_find(tree, "third-name"))->content,
			    "shared by three names before");
	assert_int_equal(tree_inode(tree_find(tree, "third-name"))->mode, S_IFREG | 0600);
	cop_object_free(object);
}

static void clamping_reaches_links_that_are_only_in_the_index(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	struct cop_object *object;
	auto_ptr(tree) tree = NULL;
	const char *path;

	commit_sample(scratch, "base");
	object = new_object(scratch, "base");
	path = begin(object);
	write_file(path, "first-name", "written now, so that its mtime is too late");
	assert_int_equal(unlink(join(path, "first-name")), 0);
	assert_int_equal(rename(join(path, "home"), join(path, "moved")), 0);
	write_file(path, "moved/user01/new", "");
	end(object);
	assert_ok(object_clamp(object, 1000, &err), &err);
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	assert_int_equal(tree_inode(tree_find(tree, "third-name"))->mtime_sec, 1000);
	assert_int_equal(tree_find(tree, "moved/user01")->mtime_sec, 1000);
	assert_int_equal(tree_find(tree, "moved/user01/new")->mtime_sec, 1000);
	/* Later than the epoch, but as in the base. */
	assert_in_range(tree_find(tree, "moved")->mtime_sec, 1600000000, 1600000100);
	assert_in_range(tree_find(tree, "moved/user02")->mtime_sec, 1600000000,
			1600000100);
	cop_object_free(object);
}

/* --- oddities of the kernel --- */

static void set_mark(const char *path, const char *name, const char *value)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "trusted.%s", name);
	assert_int_equal(setxattr(path, key, value, strlen(value), 0), 0);
	(void)snprintf(key, sizeof(key), "user.%s", name);
	assert_int_equal(setxattr(path, key, value, strlen(value), 0), 0);
}

static void whiteouts_of_a_tree_stay_in_it(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	auto_ptr(tree) tree = NULL;
	const char *path = begin(object);

	/* As a view shows them: see docs/views.md. */
	assert_int_equal(mkdir(join(path, "dir"), 0755), 0);
	write_file(path, "dir/gone", "");
	set_mark(join(path, "dir"), "overlay.whiteouts", "");
	set_mark(join(path, "dir"), "overlay.opaque", "x");
	set_mark(join(path, "dir/gone"), "overlay.whiteout", "");
	commit(scratch, object, "base");
	path = begin(object);
	write_file(path, "dir/other", "");
	assert_int_equal(rename(join(path, "dir"), join(path, "moved")), 0);
	/* A real one cannot be made. */
	assert_int_equal(mknod(join(path, "real"), S_IFCHR, makedev(0, 0)), -1);
	assert_int_equal(errno, EPERM);
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	assert_true(tree_is_whiteout(tree_find(tree, "moved/gone")));
	assert_non_null(tree_find(tree, "moved/other"));
	path = begin(object);
	assert_int_equal(unlink(join(path, "moved/gone")), 0);
	commit(scratch, object, "result");
	tree_free(tree);
	tree = committed_tree(scratch, "result");
	assert_null(tree_find(tree, "moved/gone"));
	assert_int_equal(tree_find(tree, "moved")->n_xattrs, 0);
	cop_object_free(object);
}

static void an_acl_is_set_once_a_file_was_changed(void **state)
{
	static const uint8_t acl[] = {
		2, 0,	0,   0,	  1,   0,   6,	0, 255, 255, 255, 255, 2,   0,	4,
		0, 232, 3,   0,	  0,   4,   0,	4, 0,	255, 255, 255, 255, 16, 0,
		4, 0,	255, 255, 255, 255, 32, 0, 4,	0,   255, 255, 255, 255};
	struct scratch *scratch = *state;
	struct cop_object *object;
	auto_ptr(tree) tree = NULL;
	const char *path, *file;

	commit_sample(scratch, "base");
	object = new_object(scratch, "base");
	path = begin(object);
	file = join(path, "bin/wall");
	if (setxattr(file, "system.posix_acl_access", acl, sizeof(acl), 0) < 0) {
		assert_int_equal(errno, EOPNOTSUPP);
		assert_int_equal(chmod(file, 0755), 0);
		assert_int_equal(
			setxattr(file, "system.posix_acl_access", acl, sizeof(acl), 0),
			0);
	}
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	assert_non_null(
		tree_find_xattr(tree_find(tree, "bin/wall"), "system.posix_acl_access"));
	cop_object_free(object);
}

static void a_long_path_is_moved_by_copying(void **state)
{
	char name[201] = {}, deep[600], from[800], to[800];
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	auto_ptr(tree) tree = NULL;
	const char *path = begin(object);

	(void)memset(name, 'n', sizeof(name) - 1);
	(void)snprintf(deep, sizeof(deep), "%s/%s", path, name);
	assert_int_equal(mkdir(deep, 0755), 0);
	(void)snprintf(deep, sizeof(deep), "%s/%s/%s", path, name, name);
	assert_int_equal(mkdir(deep, 0755), 0);
	write_file(deep, "file", "some text");
	commit(scratch, object, "base");
	path = begin(object);
	(void)snprintf(deep, sizeof(deep), "%s/%s/%s", path, name, name);
	(void)snprintf(from, sizeof(from), "%s/file", deep);
	(void)snprintf(to, sizeof(to), "%s/file", path);
	/* mv(1) copies then.  Within the directory it is a rename. */
	assert_int_equal(rename(from, to), -1);
	assert_int_equal(errno, EXDEV);
	(void)snprintf(to, sizeof(to), "%s/renamed", deep);
	assert_int_equal(rename(from, to), 0);
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	(void)snprintf(deep, sizeof(deep), "%s/%s/renamed", name, name);
	assert_string_equal(tree_find(tree, deep)->content, "some text");
	cop_object_free(object);
}

/* What no single call reaches is copied instead of moved. */
static void files_beyond_the_longest_path_are_kept(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	char name[201] = {};
	auto_ptr(tree) tree = NULL;
	struct tree_node *node;
	auto_close int fd = open(begin(object), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file_fd;

	(void)memset(name, 'n', sizeof(name) - 1);
	for (int i = 0; i < 30; i++) {
		int below;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(below >= 0);
		assert_int_equal(close(fd), 0);
		fd = below;
	}
	file_fd = openat(fd, "deep", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(file_fd, 5000), 0);
	assert_int_equal(close(file_fd), 0);
	assert_int_equal(close(fd), 0);
	fd = -EBADF;
	commit(scratch, object, "result");
	tree = committed_tree(scratch, "result");
	node = tree->root;
	for (int i = 0; i < 30; i++)
		node = tree_child(node, name, sizeof(name) - 1);
	node = tree_child(node, "deep", 4);
	assert_int_equal(node->size, 5000);
	assert_int_equal(node->mode, S_IFREG | 0600);
	cop_object_free(object);
}

/* --- who else is there --- */

static void an_open_file_refuses_the_commit_and_names_the_process(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object;
	char pid[32];
	int fd;

	commit_small(scratch, "base", "text");
	object = new_object(scratch, "base");
	fd = open(join(begin(object), "data"), O_WRONLY | O_CLOEXEC);
	(void)snprintf(pid, sizeof(pid), "process %d ", getpid());
	refused(scratch, object, -EBUSY, pid);
	refused(scratch, begin(object) ? object : NULL, -EBUSY, "'/data'");
	/* It is writable again. */
	assert_int_equal(write(fd, "more", 4), 4);
	assert_int_equal(close(fd), 0);
	begin(object);
	commit(scratch, object, "result");
	{
		auto_ptr(tree) tree = committed_tree(scratch, "result");

		assert_string_equal(tree_find(tree, "data")->content, "more");
	}
	cop_object_free(object);
}

static void a_mapped_file_counts_as_open(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object;
	void *memory;
	int fd;

	commit_small(scratch, "base", "text");
	object = new_object(scratch, "base");
	fd = open(join(begin(object), "data"), O_RDWR | O_CLOEXEC);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(close(fd), 0);
	refused(scratch, object, -EBUSY, "in use");
	assert_int_equal(munmap(memory, 4096), 0);
	begin(object);
	commit(scratch, object, "result");
	cop_object_free(object);
}

struct other {
	pid_t pid;
	int to[2], from[2];
};

/* A child that runs @live, which says by a byte that it is there and waits for another.
 */
static void start_other(struct other *other,
			void (*live)(struct other *other, void *data), void *data)
{
	char byte;

	assert_int_equal(pipe(other->to), 0);
	assert_int_equal(pipe(other->from), 0);
	other->pid = fork();
	if (other->pid == 0) {
		live(other, data);
		_exit(0);
	}
	assert_int_equal(read(other->from[0], &byte, 1), 1);
}

static void report_and_wait(struct other *other)
{
	char byte = 0;

	if (write(other->from[1], &byte, 1) != 1 || read(other->to[0], &byte, 1) != 1)
		_exit(1);
}

static void let_go(struct other *other)
{
	char byte = 0;

	assert_int_equal(write(other->to[1], &byte, 1), 1);
}

static void end_other(struct other *other)
{
	int status;

	(void)kill(other->pid, SIGKILL);
	assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
	for (int i = 0; i < 2; i++) {
		closep(&other->to[i]);
		closep(&other->from[i]);
	}
}

static void write_in_namespace(struct other *other, void *data)
{
	char byte;
	int fd;

	if (unshare(CLONE_NEWNS) < 0)
		_exit(1);
	fd = open(join(data, "data"), O_WRONLY | O_CLOEXEC);
	report_and_wait(other);
	/* Still the mount is there. */
	(void)close(fd);
	if (write(other->from[1], "", 1) != 1 || read(other->to[0], &byte, 1) != 1)
		_exit(1);
}

static void a_writer_in_another_mount_namespace_refuses_the_commit(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	struct cop_object *object;
	struct other other;
	char path[300], byte;
	int r = -EBUSY;

	commit_small(scratch, "base", "text");
	object = new_object(scratch, "base");
	(void)snprintf(path, sizeof(path), "%s", begin(object));
	start_other(&other, write_in_namespace, path);
	refused(scratch, object, -EBUSY, "has open for writing");
	begin(object);
	let_go(&other);
	assert_int_equal(read(other.from[0], &byte, 1), 1);
	refused(scratch, object, -EBUSY, "in use");
	end_other(&other);
	/* The namespace goes a moment after its last process. */
	for (int i = 0; i < 200 && r == -EBUSY; i++) {
		(void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		r = cop_store_commit(scratch->store, object, "result", NULL, &err);
	}
	assert_ok(r, &err);
	cop_object_free(object);
}

/* A process in a namespace of its own, which dies; its child lives on in the view. */
static void leave_a_child(struct other *other, void *data)
{
	struct scratch *scratch = data;
	struct cop_object *object = NULL;
	struct cop_store *store = NULL;
	const char *path;

	if (unshare(CLONE_NEWNS) < 0 ||
	    cop_store_open(scratch->store_path, 0, &store, NULL) < 0 ||
	    cop_object_new(store, "base", &object, NULL) < 0 ||
	    cop_object_write(object, &path, NULL) < 0)
		_exit(1);
	if (fork() == 0) {
		if (chdir(path) < 0)
			_exit(1);
		report_and_wait(other);
		write_file(".", "late", "still writing");
		report_and_wait(other);
		_exit(0);
	}
	for (;;)
		(void)pause();
}

static void a_view_whose_child_lives_on_is_swept_after_it(void **state)
{
	struct scratch *scratch = *state;
	struct other other;
	char byte;
	int status;

	commit_small(scratch, "base", "text");
	start_other(&other, leave_a_child, scratch);
	assert_int_equal(kill(other.pid, SIGKILL), 0);
	assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "tmp"), 1);
	/* It is not hindered. */
	let_go(&other);
	assert_int_equal(read(other.from[0], &byte, 1), 1);
	scratch_reopen(scratch);
	assert_int_equal(scratch_count(scratch, "tmp"), 1);
	let_go(&other);
	for (int i = 0; i < 200 && scratch_count(scratch, "tmp") > 0; i++) {
		(void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		scratch_reopen(scratch);
	}
	assert_int_equal(scratch_count(scratch, "tmp"), 0);
	for (int i = 0; i < 2; i++) {
		closep(&other.to[i]);
		closep(&other.from[i]);
	}
}

static void readers_of_one_tree_share_a_mount(void **state)
{
	struct scratch *scratch = *state;
	struct cop_reader *a = NULL, *b = NULL;
	struct cop_object *first, *second;
	struct cop_error err = {};

	commit_small(scratch, "base", "text");
	first = new_object(scratch, "base");
	second = new_object(scratch, "base");
	assert_ok(cop_object_read(first, &a, &err), &err);
	assert_ok(cop_object_read(second, &b, &err), &err);
	assert_string_equal(cop_reader_path(a), cop_reader_path(b));
	assert_int_equal(open(join(cop_reader_path(a), "data"), O_WRONLY | O_CLOEXEC),
			 -1);
	assert_int_equal(errno, EROFS);
	cop_reader_close(a);
	cop_reader_close(b);
	cop_object_free(first);
	cop_object_free(second);
}

/* --- what is missing --- */

static void spoil(struct scratch *scratch, const char *path, bool remove)
{
	auto_ptr(tree) tree = committed_tree(scratch, "base");
	char payload[TREE_PAYLOAD_SIZE];
	const char *file =
		join(scratch->store_path,
		     join("files", tree_payload_of(tree_find(tree, path), payload)));

	if (remove)
		assert_int_equal(unlink(file), 0);
	else
		assert_int_equal(truncate(file, 3), 0);
}

static void a_start_of_the_machine_finds_what_is_missing(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	const char *path;

	for (int removed = 0; removed < 2; removed++) {
		struct cop_digest base = commit_sample(scratch, "base");
		struct cop_object *object = new_object(scratch, "base");

		spoil(scratch, "home/user07/mail", removed);
		/* Nobody looks again within one run of the machine. */
		begin(object);
		cop_object_free(object);
		object_set_start(time(NULL) + 100);
		object = new_object(scratch, "base");
		assert_fails(cop_object_write(object, &path, &err), -EUCLEAN, &err);
		assert_non_null(strstr(err.message, "'/home/user07/mail'"));
		assert_int_equal(cop_store_contains(scratch->store, "base", &err), 0);
		cop_object_free(object);
		object_set_start(0);
		assert_digests_equal(commit_sample(scratch, "base"), base);
		assert_int_equal(cop_store_contains(scratch->store, "base", &err), 1);
	}
}

static void an_object_is_looked_at_once_after_a_start(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object;

	commit_sample(scratch, "base");
	(void)nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
	object_set_start(time(NULL) - 1);
	object = new_object(scratch, "base");
	begin(object);
	cop_object_free(object);
	spoil(scratch, "home/user07/mail", true);
	object = new_object(scratch, "base");
	begin(object);
	cop_object_free(object);
	object_set_start(0);
}
/* The note of a probe, with one byte of what it is about made another. */
static void change_note(struct scratch *scratch)
{
	int fd = store_fd(scratch->store);
	auto_buf text = {};
	char *boot_id;

	assert_int_equal(fs_read_file(fd, "meta/overlay.json", 65536, &text, NULL), 0);
	boot_id = strstr(buf_text(&text), "where");
	assert_non_null(boot_id);
	boot_id[strlen("where\": \"")] ^= 1;
	assert_int_equal(
		fs_replace_at(fd, "meta/overlay.json", text.data, text.size, 0600, NULL),
		0);
}

static void what_a_probe_found_is_known_until_the_machine_starts_again(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};

	assert_false(overlay_is_known(scratch->store));
	assert_ok(overlay_probe(scratch->store, &err), &err);
	overlay_remember(scratch->store);
	assert_true(overlay_is_known(scratch->store));
	change_note(scratch);
	assert_false(overlay_is_known(scratch->store));
	change_note(scratch);
	assert_true(overlay_is_known(scratch->store));
	overlay_forget(scratch->store);
	assert_false(overlay_is_known(scratch->store));
}

static void a_mount_that_fails_makes_the_next_process_probe_again(void **state)
{
	struct scratch *scratch = *state;
	struct cop_object *object = new_object(scratch, NULL);
	struct cop_digest digest;
	struct cop_error err = {};

	write_file(begin(object), "file", "text");
	digest = commit(scratch, object, "base");
	cop_object_free(object);
	overlay_remember(scratch->store);
	assert_true(overlay_is_known(scratch->store));
	/* No image any more for the kernel, though as long as before. */
	spoil_image(scratch, &digest);
	object = new_object(scratch, "base");
	assert_true(cop_object_write(object, &(const char *){NULL}, &err) < 0);
	cop_object_free(object);
	assert_false(overlay_is_known(scratch->store));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
		TEST(an_untouched_view_is_committed_without_reading_the_image),
		TEST(a_change_of_the_root_alone_is_seen),
		TEST(a_change_of_metadata_costs_no_data),
		TEST(opening_for_writing_copies_up_but_stores_nothing_new),
		TEST(new_files_reach_the_pool_without_anything_of_their_own),
		TEST(a_view_goes_on_after_its_digest_and_after_a_clamp),
		TEST(hard_links_of_the_base_change_together),
		TEST(clamping_reaches_links_that_are_only_in_the_index),
		TEST(whiteouts_of_a_tree_stay_in_it),
		TEST(an_acl_is_set_once_a_file_was_changed),
		TEST(a_long_path_is_moved_by_copying),
		TEST(files_beyond_the_longest_path_are_kept),
		TEST(an_open_file_refuses_the_commit_and_names_the_process),
		TEST(a_mapped_file_counts_as_open),
		TEST(a_writer_in_another_mount_namespace_refuses_the_commit),
		TEST(a_view_whose_child_lives_on_is_swept_after_it),
		TEST(readers_of_one_tree_share_a_mount),
		TEST(a_start_of_the_machine_finds_what_is_missing),
		TEST(an_object_is_looked_at_once_after_a_start),
		TEST(what_a_probe_found_is_known_until_the_machine_starts_again),
		TEST(a_mount_that_fails_makes_the_next_process_probe_again),
	};

	if (!overlay_works_here())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
