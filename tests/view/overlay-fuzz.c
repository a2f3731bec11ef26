/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay-fuzz [--objects] [--seed N] [--count N] [--in DIR] [--on TYPE] [--verbose]
 *
 * What the kernel shows of an overlay is the only truth about the rule by which a lower
 * tree and an upper directory are merged.  Each seed makes a random tree, and then, some
 * times over: mounts it as a writable view, changes it at random, describes what the view
 * shows, unmounts it and merges.  The merged tree must say the same as the live view did,
 * as the view of its own image does, and as the files that it is laid out to.
 *
 * @--objects: the same through Objects and the store, in the kind of view that
 * COPPICE_VIEW names, instead of mounts and merging of its own.
 * @--on: make a file system of this type in a file and work there; exit 77 when its tools
 * are not installed or when the machine allows no such mounts.
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <time.h>

#include <coppice/object.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "digest/verity.h"
#include "image/image.h"
#include "random-changes.h"
#include "store/commit.h"
#include "store/object.h"
#include "store/store.h"
#include "tree/dump.h"
#include "tree/merge.h"
#include "view/layout.h"

#define SKIP	   77
#define ROUNDS	   4
#define BASE_STEPS 60
#define MOST_STEPS 40

struct fuzz {
	char dir[128]; /* everything is below, and the working directory */
	struct cop_store *store;
	uint64_t seed;
	bool verbose;
	bool objects;
	struct changes changes;
	uint64_t n_rounds, n_unchanged, n_changes, n_refused, n_upper, n_metadata;
};

/* --- trees of directories --- */

static int pool_file(int fd, const struct cop_digest *digest, uint64_t size,
		     struct cop_error *err)
{
	char payload[TREE_PAYLOAD_SIZE], path[TREE_PAYLOAD_SIZE + 16];
	int to;
	int r;

	(void)snprintf(path, sizeof(path), "store/files/%.2s",
		       tree_payload(digest, payload));
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "store/files/%s", payload);
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (to < 0)
		return errno == EEXIST ? 0 : err_errno(err, "make '%s'", path);
	r = fs_copy_data(fd, to, size, err);
	(void)close(to);
	return r;
}

/* @data: not NULL to keep what is new */
static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	auto_close int owned = fd;
	uint64_t size = (uint64_t)st->st_size;
	char bytes[TREE_INLINE_MAX];
	struct cop_digest digest;
	int r;

	(void)path;
	if (size <= sizeof(bytes)) {
		if (fs_pread_full(owned, bytes, size, 0) != (ssize_t)size)
			return err_set(err, -ESTALE, "'%s' is shorter", path);
		return tree_set_content(tree, node, bytes, size, err);
	}
	r = verity_digest_fd(owned, size, 1, &digest, err);
	if (r == 0 && data)
		r = pool_file(owned, &digest, size, err);
	return r < 0 ? r : tree_set_digest(tree, node, &digest, err);
}

static int read_directory(const char *path, bool keep, struct tree **ret_tree,
			  struct cop_error *err)
{
	const struct tree_scan_options options = {.content = take_content,
						  .data = keep ? (void *)path : NULL};
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_ptr(tree) tree = NULL;
	int r;

	if (fd < 0)
		return err_errno(err, "open '%s'", path);
	r = tree_scan(fd, &options, &tree, err);
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r < 0)
		return err_prefix(err, r, "read '%s'", path);
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

static bool is_marked(const struct tree_node *node, const char *const *marks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!tree_find_xattr(node, marks[i]))
			return false;
	return true;
}

/* A view goes on to show the marks of a directory whose last whiteout was removed.  They
 * mean nothing then, and merging drops them. */
static void forget_idle_marks(struct tree *tree)
{
	static const char *const of_files[] = {"trusted.overlay.whiteout",
					       "user.overlay.whiteout"};
	static const char *const marks[] = {
		"trusted.overlay.opaque", "trusted.overlay.whiteouts",
		"user.overlay.opaque", "user.overlay.whiteouts"};

	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		bool needed = !S_ISDIR(node->mode) ||
			      !is_marked(node, marks, ARRAY_SIZE(marks));

		for (uint32_t i = 0; i < node->n_children && !needed; i++) {
			const struct tree_node *inode = tree_inode(node->children[i]);

			needed = inode->size == 0 &&
				 is_marked(inode, of_files, ARRAY_SIZE(of_files));
		}
		for (size_t i = 0; i < ARRAY_SIZE(marks) && !needed; i++)
			(void)tree_remove_xattr(node, marks[i]);
	}
}

/* Says the first line that differs. */
static int compare(const struct tree *a, const struct tree *b, const char *what,
		   struct cop_error *err)
{
	auto_buf of_a = {}, of_b = {};
	const char *left, *right;
	int r = tree_to_dump(a, &of_a, err);

	if (r == 0)
		r = tree_to_dump(b, &of_b, err);
	if (r < 0)
		return r;
	left = buf_text(&of_a);
	right = buf_text(&of_b);
	if (strcmp(left, right) == 0)
		return 0;
	for (size_t i = 0; left[i] && left[i] == right[i]; i++) {
		if (left[i] != '\n')
			continue;
		left += i + 1;
		right += i + 1;
		i = (size_t)-1;
	}
	return err_set(err, -EBADMSG, "%s differ:\n  %.*s\n  %.*s\n", what,
		       (int)strcspn(left, "\n"), left, (int)strcspn(right, "\n"), right);
}

/* Names of one inode were found by its number; the kernel has to count as many. */
static int check_nlinks(const struct tree *tree, const char *path, struct cop_error *err)
{
	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		auto_free char *below = tree_path(node);
		char full[PATH_MAX];
		struct stat st;

		(void)snprintf(full, sizeof(full), "%s%s", path, below);
		if (lstat(full, &st) < 0)
			return err_errno(err, "stat '%s'", full);
		if (!S_ISDIR(st.st_mode) && st.st_nlink != tree_inode(node)->nlink)
			return err_set(err, -EBADMSG, "'%s' has %u links instead of %u",
				       full, (unsigned int)st.st_nlink,
				       tree_inode(node)->nlink);
	}
	return 0;
}

/* --- mounts --- */

static int config(int fd, const char *key, const char *value, struct cop_error *err)
{
	int r = value ? fsconfig(fd, FSCONFIG_SET_STRING, key, value, 0)
		      : fsconfig(fd, FSCONFIG_SET_FLAG, key, NULL, 0);

	return r < 0 ? err_errno(err, "mount option '%s'", key) : 0;
}

static int create_mount(int fd, const char *what, struct cop_error *err)
{
	int mount_fd;

	if (fsconfig(fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_errno(err, "make a mount of %s", what);
	mount_fd = fsmount(fd, FSMOUNT_CLOEXEC, 0);
	return mount_fd < 0 ? err_errno(err, "mount %s", what) : mount_fd;
}

static int mount_image(const char *path, struct cop_error *err)
{
	auto_close int fd = fsopen("erofs", FSOPEN_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "erofs");
	r = config(fd, "source", path, err);
	if (r == 0)
		r = config(fd, "ro", NULL, err);
	return r < 0 ? r : create_mount(fd, "erofs", err);
}

/* A view of image @name; writable into upper/ and work/ unless @read_only. */
static int mount_view(struct fuzz *fuzz, const char *name, bool read_only,
		      struct cop_error *err)
{
	static const char *const writable[][2] = {
		{"upperdir", "upper"}, {"workdir", "work"}, {"index", "on"},
		{"xino", "auto"},      {"volatile", NULL},
	};
	char path[PATH_MAX];
	auto_close int image_fd = -EBADF, fd = fsopen("overlay", FSOPEN_CLOEXEC);
	auto_close int view_fd = -EBADF;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", fuzz->dir, name);
	image_fd = mount_image(path, err);
	if (image_fd < 0)
		return image_fd;
	if (fd < 0 || fsconfig(fd, FSCONFIG_SET_FD, "lowerdir+", NULL, image_fd) < 0)
		return err_errno(err, "overlay");
	r = config(fd, "datadir+", "store/files", err);
	if (r == 0)
		r = config(fd, "metacopy", "on", err);
	if (r == 0)
		r = config(fd, "redirect_dir", "on", err);
	for (size_t i = 0; i < ARRAY_SIZE(writable) && r == 0 && !read_only; i++)
		r = config(fd, writable[i][0], writable[i][1], err);
	if (r == 0)
		view_fd = create_mount(fd, "overlay", err);
	if (r < 0 || view_fd < 0)
		return r < 0 ? r : view_fd;
	if (move_mount(view_fd, "", AT_FDCWD, "view", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_errno(err, "move_mount");
	return 0;
}

static int unmount_view(struct cop_error *err)
{
	if (umount2("view", 0) < 0)
		return err_errno(err, "umount");
	/* A volatile upper is refused from now on unless it is said to be whole. */
	return fs_remove_all(AT_FDCWD, "work/work/incompat", false, err);
}

static int write_image(const struct tree *tree, const char *name, struct cop_error *err)
{
	auto_free uint8_t *data = NULL;
	size_t size = 0;
	int r = image_write(tree, IMAGE_VERSION, &data, &size, err);

	(void)unlink(name);
	return r < 0 ? r : fs_write_new(AT_FDCWD, name, data, size, 0444, err);
}

/* What copying up gives other directories that hold whiteouts. */
static int mark_root(const struct tree_node *root, struct cop_error *err)
{
	for (uint32_t i = 0; i < root->n_children; i++) {
		if (root->children[i]->link || !tree_is_whiteout(root->children[i]))
			continue;
		if (setxattr("upper", "trusted.overlay.overlay.opaque", "x", 1, 0) < 0 ||
		    setxattr("upper", "trusted.overlay.overlay.whiteouts", "", 0, 0) <
			    0 ||
		    setxattr("upper", "user.overlay.opaque", "x", 1, 0) < 0 ||
		    setxattr("upper", "user.overlay.whiteouts", "", 0, 0) < 0)
			return err_errno(err, "mark 'upper'");
		return 0;
	}
	return 0;
}

/* An upper without any change: its root is that of the tree. */
static int make_upper(const struct tree_node *root, struct cop_error *err)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = root->mtime_sec, .tv_nsec = root->mtime_nsec},
	};

	if (fs_remove_all(AT_FDCWD, "upper", true, err) < 0 ||
	    fs_remove_all(AT_FDCWD, "work", true, err) < 0)
		return -EIO;
	if (mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0 ||
	    chown("upper", root->uid, root->gid) < 0 ||
	    chmod("upper", root->mode & 07777) < 0)
		return err_errno(err, "make an upper");
	for (uint32_t i = 0; i < root->n_xattrs; i++) {
		const struct tree_xattr *xattr = &root->xattrs[i];
		const char *escaped = "trusted.overlay.";
		char key[300];

		if (text_starts_with(xattr->key, escaped))
			(void)snprintf(key, sizeof(key), "%soverlay.%s", escaped,
				       xattr->key + strlen(escaped));
		else
			(void)snprintf(key, sizeof(key), "%s", xattr->key);
		if (setxattr("upper", key, xattr->value, xattr->size, 0) < 0)
			return err_errno(err, "set '%s'", key);
	}
	if (mark_root(root, err) < 0)
		return -EIO;
	return utimensat(AT_FDCWD, "upper", times, 0) < 0 ? err_errno(err, "utimens") : 0;
}

/* --- a round --- */

static int give_nids(void *data, const struct tree *lower, uint64_t **ret_nids,
		     struct cop_error *err)
{
	(void)data;
	return image_nids(lower, IMAGE_VERSION, ret_nids, err);
}

static int merge(struct fuzz *fuzz, struct tree **lower, struct tree **ret_tree,
		 struct cop_error *err)
{
	const struct tree_scan_options content = {.content = take_content, .data = fuzz};
	auto_close int upper_fd = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_close int index_fd = open("work/index", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tree_merge_report report = {};
	const struct tree_merge_options options = {
		.upper = &content,
		.index_fd = index_fd,
		.nids = give_nids,
		.report = &report,
	};
	auto_ptr(tree) tree = NULL;
	int r;

	if (upper_fd < 0 || index_fd < 0)
		return err_errno(err, "open upper and index");
	r = tree_merge(lower, upper_fd, &options, &tree, err);
	if (r < 0)
		return err_prefix(err, r, "merge");
	fuzz->n_upper += report.n_entries;
	fuzz->n_metadata += report.n_metadata;
	if (r == TREE_UNCHANGED)
		return TREE_UNCHANGED;
	r = tree_canonicalise(tree, err);
	if (r == 0)
		*ret_tree = TAKE_PTR(tree);
	return r;
}

static int change_view(struct fuzz *fuzz, struct tree **ret_live, struct cop_error *err)
{
	uint32_t n = changes_random(&fuzz->changes, MOST_STEPS);
	int r = mount_view(fuzz, "image", false, err);

	if (r < 0)
		return r;
	/* Some uppers stay as they are, many change a little. */
	if (changes_random(&fuzz->changes, 4) == 0)
		n %= 4;
	for (uint32_t i = 0; i < n; i++) {
		changes_make(&fuzz->changes);
		if (changes_random(&fuzz->changes, 60) != 0)
			continue;
		r = unmount_view(err);
		if (r == 0)
			r = mount_view(fuzz, "image", false, err);
		if (r < 0)
			return r;
	}
	r = read_directory("view", false, ret_live, err);
	if (r == 0)
		r = check_nlinks(*ret_live, "view", err);
	forget_idle_marks(*ret_live);
	if (r < 0) {
		(void)unmount_view(NULL);
		return r;
	}
	return unmount_view(err);
}

/* The new tree as others see it. */
static int check_image(struct fuzz *fuzz, const struct tree *tree, struct cop_error *err)
{
	auto_ptr(tree) shown = NULL;
	int r = write_image(tree, "image-after", err);

	if (r == 0)
		r = mount_view(fuzz, "image-after", true, err);
	if (r < 0)
		return r;
	r = read_directory("view", false, &shown, err);
	if (r == 0)
		r = check_nlinks(shown, "view", err);
	(void)umount2("view", 0);
	return r < 0 ? r : compare(tree, shown, "the merged tree and its view", err);
}

/* A view shows whiteouts as files, which can get what no device can have. */
static bool can_export(const struct tree *tree)
{
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		for (uint32_t i = 0; tree_is_whiteout(node) && i < node->n_xattrs; i++)
			if (text_starts_with(node->xattrs[i].key, "user."))
				return false;
	return true;
}

static int check_export(struct fuzz *fuzz, const struct tree *tree, struct cop_error *err)
{
	const struct commit_directory_options options = {.only_digest = true,
							 .source_epoch = -1};
	struct cop_digest of_tree, of_files;
	auto_close int fd = -EBADF;
	int r = store_digest_tree(tree, &of_tree, err);

	if (r < 0)
		return r;
	if (mkdir("export", 0755) < 0)
		return err_errno(err, "mkdir 'export'");
	fd = open("export", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = layout_fill(fuzz->store, tree, fd, ATTRIBUTES_STRICT, NULL, err);
	if (r == 0)
		r = store_commit_directory(NULL, fd, &options, &of_files, err);
	if (r == 0 && !cop_digest_equal(&of_tree, &of_files)) {
		auto_ptr(tree) shown = NULL;

		r = read_directory("export", false, &shown, err);
		if (r == 0)
			r = compare(tree, shown, "the merged tree and its export", err);
		if (r == 0)
			r = err_set(err, -EBADMSG, "the digest of the export differs");
	}
	return r < 0 ? r : fs_remove_all(AT_FDCWD, "export", true, err);
}

/* *@lower: the tree to begin with, then the new one */
static int run_round(struct fuzz *fuzz, struct tree **lower, struct cop_error *err)
{
	auto_ptr(tree) live = NULL;
	auto_ptr(tree) merged = NULL;
	int r = write_image(*lower, "image", err);

	if (r == 0)
		r = make_upper((*lower)->root, err);
	if (r == 0)
		r = change_view(fuzz, &live, err);
	if (r == 0)
		r = merge(fuzz, lower, &merged, err);
	if (r < 0)
		return r;
	fuzz->n_rounds++;
	if (r == TREE_UNCHANGED) {
		fuzz->n_unchanged++;
		return compare(*lower, live, "the tree and its untouched view", err);
	}
	r = compare(merged, live, "the merged tree and the live view", err);
	if (r == 0)
		r = check_image(fuzz, merged, err);
	if (r < 0)
		return r;
	tree_free(*lower);
	*lower = TAKE_PTR(merged);
	return 0;
}

static void fill_base(struct fuzz *fuzz)
{
	fuzz->changes.root = "base";
	for (int i = 0; i < BASE_STEPS; i++) {
		changes_make(&fuzz->changes);
		if (changes_random(&fuzz->changes, 2 * BASE_STEPS) == 0)
			changes_make_whiteouts(&fuzz->changes);
	}
}

static int make_base(struct fuzz *fuzz, struct tree **ret_tree, struct cop_error *err)
{
	int r;

	if (mkdir("base", 0755) < 0)
		return err_errno(err, "mkdir 'base'");
	fill_base(fuzz);
	r = read_directory("base", true, ret_tree, err);
	return r < 0 ? r : fs_remove_all(AT_FDCWD, "base", true, err);
}

static int run_seed(struct fuzz *fuzz, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	int r;

	r = make_base(fuzz, &tree, err);
	fuzz->changes.root = "view";
	for (int i = 0; i < ROUNDS && r == 0; i++) {
		if (fuzz->verbose)
			(void)fprintf(stderr, " round %d\n", i);
		r = run_round(fuzz, &tree, err);
	}
	if (r == 0 && can_export(tree))
		r = check_export(fuzz, tree, err);
	return r;
}

/* --- the same through Objects --- */

static int commit_base(struct fuzz *fuzz, struct cop_error *err)
{
	const struct commit_directory_options options = {
		.class = REF_NAME, .name = "tree", .source_epoch = -1};
	auto_close int fd = -EBADF;
	struct cop_digest digest;
	int r;

	if (mkdir("base", 0755) < 0)
		return err_errno(err, "mkdir 'base'");
	fill_base(fuzz);
	fd = open("base", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = store_commit_directory(fuzz->store, fd, &options, &digest, err);
	return r < 0 ? r : fs_remove_all(AT_FDCWD, "base", true, err);
}

static int check_reading(struct cop_object *object, const struct tree *tree,
			 struct cop_error *err)
{
	struct cop_reader *reader = NULL;
	auto_ptr(tree) shown = NULL;
	int r = cop_object_read(object, &reader, err);

	if (r == 0)
		r = read_directory(cop_reader_path(reader), false, &shown, err);
	if (r == 0)
		r = compare(tree, shown, "the committed tree and a reader", err);
	cop_reader_close(reader);
	return r;
}

static int run_object_round(struct fuzz *fuzz, struct cop_object *object,
			    struct cop_error *err)
{
	uint32_t n = changes_random(&fuzz->changes, MOST_STEPS);
	auto_ptr(tree) live = NULL;
	auto_ptr(tree) tree = NULL;
	struct cop_digest digest;
	int r = cop_object_write(object, &fuzz->changes.root, err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++)
		changes_make(&fuzz->changes);
	r = read_directory(fuzz->changes.root, false, &live, err);
	if (r == 0)
		r = cop_object_write_end(object, err);
	if (r == 0)
		r = cop_store_commit(fuzz->store, object, "tree", &digest, err);
	if (r == 0)
		r = object_read_tree(fuzz->store, &digest, &tree, err);
	/* An image does not tell every time at which name its inode stood. */
	if (r == 0)
		r = tree_canonicalise(tree, err);
	if (r < 0)
		return r;
	fuzz->n_rounds++;
	forget_idle_marks(live);
	r = compare(tree, live, "the committed tree and the live view", err);
	if (r == 0)
		r = check_reading(object, tree, err);
	return r == 0 && can_export(tree) ? check_export(fuzz, tree, err) : r;
}

static int run_object_seed(struct fuzz *fuzz, struct cop_error *err)
{
	struct cop_object *object = NULL;
	int r = commit_base(fuzz, err);

	for (int i = 0; i < ROUNDS && r == 0; i++) {
		if (fuzz->verbose)
			(void)fprintf(stderr, " round %d\n", i);
		/* Now and then the Object goes on from what it committed itself. */
		if (!object || changes_random(&fuzz->changes, 2)) {
			object = cop_object_free(object);
			r = cop_object_new(fuzz->store, "tree", &object, err);
		}
		if (r == 0)
			r = run_object_round(fuzz, object, err);
	}
	cop_object_free(object);
	return r;
}

/* --- the place --- */

static bool find_tool(const char *name)
{
	auto_free char *dirs = strdup(getenv("PATH") ? getenv("PATH") : "/usr/sbin");
	char *rest = dirs, path[PATH_MAX];

	for (const char *dir; dirs && (dir = strsep(&rest, ":"));) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static int make_file_system(const char *type, struct cop_error *err)
{
	char tool[64];
	const char *make[] = {tool, "-q", "disk", NULL};
	const char *mount[] = {"mount", "-o", "loop", "disk", "disk.d", NULL};
	auto_close int fd = open("disk", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	(void)snprintf(tool, sizeof(tool), "mkfs.%s", type);
	if (fd < 0 || ftruncate(fd, (off_t)(640 * MIB)) < 0 || mkdir("disk.d", 0755) < 0)
		return err_errno(err, "make a disk");
	r = process_check(make, NULL, NULL, err);
	if (r == 0)
		r = process_check(mount, NULL, NULL, err);
	if (r == 0 && chdir("disk.d") < 0)
		r = err_errno(err, "chdir");
	return r;
}

static int enter(struct fuzz *fuzz, const char *in, const char *on, struct cop_error *err)
{
	int r = 0;

	(void)snprintf(fuzz->dir, sizeof(fuzz->dir), "%s/coppice-overlay-XXXXXX", in);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "a mount namespace of our own");
	if (!mkdtemp(fuzz->dir) || chdir(fuzz->dir) < 0)
		return err_errno(err, "make '%s'", fuzz->dir);
	if (on) {
		r = make_file_system(on, err);
		(void)strncat(fuzz->dir, "/disk.d",
			      sizeof(fuzz->dir) - strlen(fuzz->dir) - 1);
	}
	if (r == 0 && (mkdir("store", 0700) < 0 || mkdir("view", 0755) < 0))
		r = err_errno(err, "make a store");
	return r < 0 ? r : cop_store_open("store", COP_STORE_CREATE, &fuzz->store, err);
}

static void leave(struct fuzz *fuzz, bool keep)
{
	char *disk = strstr(fuzz->dir, "/disk.d");

	cop_store_close(fuzz->store);
	if (keep || chdir("/") < 0)
		return;
	if (disk) {
		(void)umount2(fuzz->dir, 0);
		*disk = '\0';
	}
	(void)fs_remove_all(AT_FDCWD, fuzz->dir, true, NULL);
}

/* 0, or SKIP after saying why. */
static int probe(struct fuzz *fuzz, struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	int r = tree ? write_image(tree, "image", err) : -ENOMEM;

	if (r == 0)
		r = make_upper(tree->root, err);
	if (r == 0)
		r = mount_view(fuzz, "image", false, err);
	if (r == 0)
		r = unmount_view(err);
	return r;
}

static int run(struct fuzz *fuzz, uint64_t seed, uint64_t count, struct cop_error *err)
{
	int r = 0;

	for (uint64_t i = 0; i < count && r == 0; i++) {
		fuzz->seed = seed + i;
		fuzz->changes.state = fuzz->seed;
		fuzz->changes.verbose = fuzz->verbose;
		r = fuzz->objects ? run_object_seed(fuzz, err) : run_seed(fuzz, err);
		changes_done(&fuzz->changes);
	}
	(void)printf(
		"%llu rounds (%llu untouched), %llu changes (%llu more were refused), "
		"%llu upper entries, %llu with metadata only\n",
		(unsigned long long)fuzz->n_rounds, (unsigned long long)fuzz->n_unchanged,
		(unsigned long long)fuzz->changes.n_done,
		(unsigned long long)fuzz->changes.n_refused,
		(unsigned long long)fuzz->n_upper, (unsigned long long)fuzz->n_metadata);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"count", required_argument, NULL, 'c'},
		{"in", required_argument, NULL, 'i'},
		{"on", required_argument, NULL, 'o'},
		{"verbose", no_argument, NULL, 'v'},
		{"objects", no_argument, NULL, 'O'},
		{},
	};
	const char *in = "/var/tmp", *on = NULL, *many = getenv("COPPICE_FUZZ_COUNT");
	uint64_t seed = (uint64_t)time(NULL) * 1000, count = 20;
	struct fuzz fuzz = {};
	struct cop_error err = {};
	char tool[64];
	int option, r;

	if (many)
		(void)text_to_u64(many, &count);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 's')
			(void)text_to_u64(optarg, &seed);
		else if (option == 'c' && !many)
			(void)text_to_u64(optarg, &count);
		else if (option == 'i')
			in = optarg;
		else if (option == 'o')
			on = optarg;
		else if (option == 'v')
			fuzz.verbose = true;
		else if (option == 'O')
			fuzz.objects = true;
		else if (option == '?')
			return 2;
	}
	(void)snprintf(tool, sizeof(tool), "mkfs.%s", on ? on : "");
	if (geteuid() != 0 || (on && !find_tool(tool))) {
		(void)fprintf(stderr, "needs root%s%s: skipped\n", on ? " and " : "",
			      on ? tool : "");
		return SKIP;
	}
	r = enter(&fuzz, in, on, &err);
	if (r == 0)
		r = probe(&fuzz, &err);
	if (r < 0) {
		(void)fprintf(stderr, "no such views here: %s: skipped\n", err.message);
		leave(&fuzz, false);
		return SKIP;
	}
	(void)printf("seeds %llu to %llu\n", (unsigned long long)seed,
		     (unsigned long long)(seed + count - 1));
	r = run(&fuzz, seed, count, &err);
	if (r < 0)
		(void)fprintf(stderr, "seed %llu: %s\nall is kept in '%s'\n",
			      (unsigned long long)fuzz.seed, err.message, fuzz.dir);
	leave(&fuzz, r < 0);
	return r < 0 ? 1 : 0;
}
