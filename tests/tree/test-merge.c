/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of what an overlay leaves in its upper directory, made by hand. */
#include "testlib.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"
#include "tree/merge.h"

#define LOWER_TIME 1
#define UPPER_TIME 7
#define T	   "trusted.overlay."
#define ORIGIN	   "\0\373\041\0\201"

struct place {
	char path[64];
	char upper[80];
	char index[80];
	int upper_fd, index_fd;
	struct tree *lower;
	struct tree_scan_options scan, index_scan;
	unsigned int n_content, n_index_content, n_settled;
	bool locked;
	struct tree_merge_report report;
};

static void lock(void *data)
{
	struct place *place = data;

	assert_false(place->locked);
	place->locked = true;
}

static void unlock(void *data)
{
	struct place *place = data;

	assert_true(place->locked);
	place->locked = false;
}

static void settle(void *data)
{
	struct place *place = data;

	assert_false(place->locked);
	place->n_settled++;
}

static int keep_content(struct place *place, struct tree *tree, struct tree_node *node,
			int fd, const struct stat *st, struct cop_error *err)
{
	auto_close int owned = fd;
	char bytes[TREE_INLINE_MAX];
	struct cop_digest digest;

	assert_false(place->locked);
	if ((size_t)st->st_size > sizeof(bytes)) {
		memset(&digest, 0xee, sizeof(digest));
		return tree_set_digest(tree, node, &digest, err);
	}
	assert_int_equal(read(owned, bytes, sizeof(bytes)), st->st_size);
	return tree_set_content(tree, node, bytes, (size_t)st->st_size, err);
}

static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	struct place *place = data;

	assert_true(path[0] && path[0] != '/');
	place->n_content++;
	return keep_content(place, tree, node, fd, st, err);
}

static int take_indexed(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	struct place *place = data;

	assert_true(text_starts_with(path, "00fb"));
	place->n_index_content++;
	return keep_content(place, tree, node, fd, st, err);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	struct cop_error err = {};

	if (!place)
		return -1;
	(void)strcpy(place->path, "/tmp/coppice-merge-XXXXXX");
	place->lower = tree_new(&err);
	if (!place->lower || !mkdtemp(place->path))
		return -1;
	(void)snprintf(place->upper, sizeof(place->upper), "%s/upper", place->path);
	(void)snprintf(place->index, sizeof(place->index), "%s/index", place->path);
	if (mkdir(place->upper, 0755) < 0 || mkdir(place->index, 0755) < 0)
		return -1;
	place->upper_fd = open(place->upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place->index_fd = open(place->index, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place->scan = (struct tree_scan_options){.content = take_content,
						 .lock = lock,
						 .unlock = unlock,
						 .settle = settle,
						 .data = place};
	place->index_scan = place->scan;
	place->index_scan.content = take_indexed;
	place->lower->root->mtime_sec = LOWER_TIME;
	*state = place;
	return place->upper_fd >= 0 && place->index_fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct place *place = *state;
	struct cop_error err = {};
	int r = fs_remove_all(AT_FDCWD, place->path, true, &err);

	closep(&place->upper_fd);
	closep(&place->index_fd);
	tree_free(place->lower);
	free(place);
	return r;
}

/* The lower tree. */

static struct tree_node *lower_add(struct place *place, const char *path, uint32_t mode)
{
	auto_free char *copy = strdup(path);
	struct tree_node *parent, *node;
	struct cop_error err = {};
	char *name;

	assert_non_null(copy);
	name = strrchr(copy, '/');
	*name++ = '\0';
	assert_ok(tree_finish(place->lower, &err), &err);
	parent = tree_find(place->lower, copy);
	assert_non_null(parent);
	assert_ok(tree_add(place->lower, parent, name, strlen(name), mode, &node, &err),
		  &err);
	node->mtime_sec = LOWER_TIME;
	return node;
}

static void lower_dir(struct place *place, const char *path)
{
	(void)lower_add(place, path, S_IFDIR | 0755);
}

static struct tree_node *lower_file(struct place *place, const char *path,
				    const char *text)
{
	struct tree_node *node = lower_add(place, path, S_IFREG | 0644);
	struct cop_error err = {};

	assert_ok(tree_set_content(place->lower, node, text, strlen(text), &err), &err);
	return node;
}

/* A file of 100 bytes in the pool, whose digest is all @byte. */
static void lower_pooled(struct place *place, const char *path, int byte)
{
	struct tree_node *node = lower_add(place, path, S_IFREG | 0644);
	struct cop_digest digest;
	struct cop_error err = {};

	memset(&digest, byte, sizeof(digest));
	node->size = 100;
	assert_ok(tree_set_digest(place->lower, node, &digest, &err), &err);
}

static void lower_link(struct place *place, const char *path, const char *to)
{
	struct tree_node *inode, *node, *parent;
	struct cop_error err = {};

	assert_ok(tree_finish(place->lower, &err), &err);
	inode = tree_find(place->lower, to);
	parent = place->lower->root;
	assert_ok(tree_add_link(place->lower, parent, path + 1, strlen(path + 1), inode,
				&node, &err),
		  &err);
}

/* The upper directory. */

static const char *in_upper(const struct place *place, const char *path)
{
	static char full[8][4200];
	static unsigned int next;
	char *text = full[next++ % ARRAY_SIZE(full)];

	(void)snprintf(text, sizeof(full[0]), "%s%s", place->upper, path);
	return text;
}

static void set_mark(const char *path, const char *name, const void *value, size_t size)
{
	char key[256];

	(void)snprintf(key, sizeof(key), T "%s", name);
	assert_int_equal(lsetxattr(path, key, value, size, 0), 0);
}

static void mark(const struct place *place, const char *path, const char *name,
		 const char *value)
{
	set_mark(in_upper(place, path), name, value, strlen(value));
}

static void upper_file(const struct place *place, const char *path, const char *text)
{
	struct cop_error err = {};

	assert_ok(fs_write_new(place->upper_fd, path + 1, text, strlen(text), 0644, &err),
		  &err);
}

static void upper_dir(const struct place *place, const char *path)
{
	assert_int_equal(mkdirat(place->upper_fd, path + 1, 0755), 0);
}

static void upper_whiteout(const struct place *place, const char *path)
{
	assert_int_equal(
		mknodat(place->upper_fd, path + 1, S_IFCHR | 0600, makedev(0, 0)), 0);
}

/* As a copy-up of the metadata alone leaves it. @redirect: may be NULL */
static void metacopy_at(const char *path, off_t size, const char *redirect)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	closep(&fd);
	set_mark(path, "metacopy", "", 0);
	set_mark(path, "origin", ORIGIN, sizeof(ORIGIN));
	if (redirect)
		set_mark(path, "redirect", redirect, strlen(redirect));
}

static void upper_metacopy(const struct place *place, const char *path, off_t size,
			   const char *redirect)
{
	metacopy_at(in_upper(place, path), size, redirect);
}

static void upper_link(const struct place *place, const char *from, const char *to)
{
	assert_int_equal(linkat(place->upper_fd, from + 1, place->upper_fd, to + 1, 0),
			 0);
}

/* An index entry for the node that the lower tree has at @path: what the kernel gives an
 * inode of EROFS whose number is ours, here 1000 + its position in the tree. */
static const char *index_name(struct place *place, const char *path, bool old)
{
	static char name[160];
	struct cop_error err = {};
	const struct tree_node *node;
	uint8_t bytes[33] = {0, 0xfb, 33, 0, 0x81};
	uint32_t nid;
	size_t size = old ? 29 : 33;

	assert_ok(tree_finish(place->lower, &err), &err);
	node = tree_find(place->lower, path);
	assert_non_null(node);
	nid = 1000 + tree_inode(node)->index;
	if (old) {
		bytes[2] = 29;
		bytes[4] = 1;
		memcpy(bytes + 21, &nid, sizeof(nid));
	} else {
		memcpy(bytes + 25, &nid, sizeof(nid));
	}
	(void)snprintf(name, sizeof(name), "%s/", place->index);
	hex_encode(bytes, size, name + strlen(name));
	return name;
}

static void index_link(struct place *place, const char *path, const char *upper)
{
	assert_int_equal(link(in_upper(place, upper), index_name(place, path, false)), 0);
}

static int give_nids(void *data, const struct tree *lower, uint64_t **ret_nids,
		     struct cop_error *err)
{
	uint64_t *nids = calloc(lower->n_nodes, sizeof(*nids));

	(void)data;
	if (!nids)
		return err_oom(err);
	for (const struct tree_node *node = lower->root; node; node = tree_next(node))
		nids[node->index] = 1000 + tree_inode(node)->index;
	*ret_nids = nids;
	return 0;
}

/* Merging, and the result as text. */

static int set_time(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const struct timespec times[2] = {{.tv_sec = UPPER_TIME}, {.tv_sec = UPPER_TIME}};

	(void)st;
	(void)type;
	(void)ftw;
	return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static int merge(struct place *place, struct tree **ret_tree, struct cop_error *err)
{
	const struct tree_merge_options options = {
		.upper = &place->scan,
		.index_fd = place->index_fd,
		.index = &place->index_scan,
		.nids = give_nids,
		.report = &place->report,
	};
	int r;

	assert_int_equal(nftw(place->path, set_time, 16, FTW_PHYS), 0);
	assert_ok(tree_canonicalise(place->lower, err), err);
	r = tree_merge(&place->lower, place->upper_fd, &options, ret_tree, err);
	return r == 0 ? tree_finish(*ret_tree, err) : r;
}

static void describe_data(struct buf *text, const struct tree_node *node)
{
	if (S_ISDIR(node->mode))
		buf_append_text(text, "dir");
	else if (tree_is_whiteout(node))
		buf_append_text(text, "whiteout");
	else if (S_ISLNK(node->mode))
		buf_printf(text, "-> %s", node->target);
	else if (S_ISFIFO(node->mode))
		buf_append_text(text, "fifo");
	else if (S_ISSOCK(node->mode))
		buf_append_text(text, "socket");
	else if (!S_ISREG(node->mode))
		buf_printf(text, "dev %u", node->rdev);
	else if (node->digest)
		buf_printf(text, "#%02x", node->digest->bytes[0]);
	else
		buf_printf(text, "'%.*s'", (int)node->size,
			   node->content ? node->content : "");
}

/* "PATH DATA [MODE] [@: as in the upper] [XATTR=VALUE...]", a line for each name */
static char *describe(const struct tree *tree)
{
	struct buf text = {};

	for (const struct tree_node *node = tree->root; node; node = tree_next(node)) {
		auto_free char *path = tree_path(node);
		uint32_t mode = node->mode & 07777;

		buf_printf(&text, "%s ", path);
		if (node->link) {
			auto_free char *to = tree_path(node->link);

			buf_printf(&text, "= %s\n", to);
			continue;
		}
		describe_data(&text, node);
		if (S_ISREG(node->mode) && mode != 0644)
			buf_printf(&text, " %o", mode);
		if (node->mtime_sec == UPPER_TIME)
			buf_append_text(&text, " @");
		for (uint32_t i = 0; i < node->n_xattrs; i++)
			buf_printf(&text, " %s=%s", node->xattrs[i].key,
				   node->xattrs[i].value);
		buf_append_char(&text, '\n');
	}
	return buf_take(&text);
}

static void merges_to(struct place *place, const char *expected)
{
	auto_ptr(tree) tree = NULL;
	auto_free char *text = NULL;
	struct cop_error err = {};

	assert_ok(merge(place, &tree, &err), &err);
	assert_non_null(tree);
	assert_ok(tree_canonicalise(tree, &err), &err);
	text = describe(tree);
	assert_string_equal(text, expected);
}

static void merge_fails(struct place *place, int code, const char *message)
{
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	assert_fails(merge(place, &tree, &err), code, &err);
	assert_null(tree);
	assert_string_equal(err.message, message);
	assert_int_equal(place->n_settled, 1);
}

static void mark_whiteout_directory(const struct place *place, const char *path)
{
	const char *full = in_upper(place, path);

	mark(place, path, "overlay.whiteouts", "");
	mark(place, path, "overlay.opaque", "x");
	assert_int_equal(setxattr(full, "user.overlay.whiteouts", "", 0, 0), 0);
	assert_int_equal(setxattr(full, "user.overlay.opaque", "x", 1, 0), 0);
}

/* The rows of the table. */

static void an_untouched_upper_gives_no_tree(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	lower_file(place, "/f", "old");
	place->lower->root->mtime_sec = UPPER_TIME;
	mark(place, "/", "uuid", "0123456789abcdef");
	mark(place, "/", "impure", "y");
	assert_int_equal(merge(place, &tree, &err), TREE_UNCHANGED);
	assert_null(tree);
	assert_int_equal(place->report.n_entries, 0);
}

static void marks_of_whiteouts_on_the_root_are_no_change(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	(void)lower_add(place, "/w", S_IFCHR | 0644);
	place->lower->root->mtime_sec = UPPER_TIME;
	mark_whiteout_directory(place, "/");
	assert_int_equal(merge(place, &tree, &err), TREE_UNCHANGED);
}

static void the_root_is_that_of_the_upper(void **state)
{
	struct place *place = *state;

	lower_file(place, "/f", "old");
	assert_int_equal(fchmod(place->upper_fd, 0700), 0);
	assert_int_equal(fsetxattr(place->upper_fd, "user.a", "b", 1, 0), 0);
	merges_to(place, "/ dir @ user.a=b\n/f 'old'\n");
}

static void new_entries_are_taken_as_they_are(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_file(place, "/z", "old");
	upper_file(place, "/f", "new");
	upper_file(place, "/empty", "");
	upper_dir(place, "/d");
	upper_file(place, "/d/g", "below");
	assert_int_equal(symlinkat("../x", place->upper_fd, "l"), 0);
	assert_int_equal(mkfifoat(place->upper_fd, "p", 0644), 0);
	assert_int_equal(mknodat(place->upper_fd, "c", S_IFCHR | 0600, makedev(1, 3)), 0);
	assert_int_equal(mknodat(place->upper_fd, "s", S_IFSOCK | 0600, 0), 0);
	merges_to(place, "/ dir @\n/c dev 259 @\n/d dir @\n/d/g 'below' @\n/empty '' @\n"
			 "/f 'new' @\n/l -> ../x @\n/p fifo @\n/s socket @\n/z 'old'\n");
	assert_int_equal(place->n_content, 2);
	assert_int_equal(place->report.n_files, 3);
	assert_int_equal(place->report.n_bytes, 8);
	assert_int_equal(place->report.n_entries, 8);
	assert_int_equal(place->report.n_taken, 1);
}

static void an_opaque_directory_hides_the_lower_one(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_file(place, "/d/f", "old");
	upper_dir(place, "/d");
	mark(place, "/d", "opaque", "y");
	upper_dir(place, "/d/new");
	upper_whiteout(place, "/d/gone");
	merges_to(place, "/ dir @\n/d dir @\n/d/new dir @\n");
}

static void opaque_is_stronger_than_redirect(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_file(place, "/d/f", "old");
	upper_dir(place, "/e");
	mark(place, "/e", "opaque", "y");
	mark(place, "/e", "redirect", "d");
	merges_to(place, "/ dir @\n/d dir\n/d/f 'old'\n/e dir @\n");
}

static void a_change_of_metadata_reads_no_data(void **state)
{
	struct place *place = *state;

	lower_pooled(place, "/big", 0xab);
	lower_file(place, "/small", "text");
	lower_file(place, "/void", "");
	upper_metacopy(place, "/big", 100, NULL);
	upper_metacopy(place, "/small", 4, NULL);
	upper_metacopy(place, "/void", 0, NULL);
	assert_int_equal(setxattr(in_upper(place, "/big"), "user.k", "v", 1, 0), 0);
	merges_to(place, "/ dir @\n/big #ab 600 @ user.k=v\n/small 'text' 600 @\n"
			 "/void '' 600 @\n");
	assert_int_equal(place->n_content, 0);
	assert_int_equal(place->report.n_metadata, 3);
	assert_int_equal(place->report.n_files, 0);
}

static void a_written_file_has_its_own_data(void **state)
{
	struct place *place = *state;
	char big[200] = {};

	memset(big, 'x', sizeof(big) - 1);
	lower_pooled(place, "/f", 0xab);
	lower_pooled(place, "/cut", 0xab);
	upper_file(place, "/f", big);
	mark(place, "/f", "origin", "handle");
	upper_file(place, "/cut", "");
	mark(place, "/cut", "origin", "handle");
	merges_to(place, "/ dir @\n/cut '' @\n/f #ee @\n");
	assert_int_equal(place->n_content, 1);
}

static void a_file_renamed_in_its_directory_has_its_data(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_pooled(place, "/d/f", 0xab);
	upper_dir(place, "/d");
	upper_whiteout(place, "/d/f");
	upper_metacopy(place, "/d/g", 100, "f");
	merges_to(place, "/ dir @\n/d dir @\n/d/g #ab 600 @\n");
	assert_int_equal(place->report.n_whiteouts, 1);
}

static void a_file_renamed_elsewhere_has_its_data(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_pooled(place, "/d/f", 0xab);
	lower_file(place, "/target", "replaced");
	upper_dir(place, "/d");
	upper_whiteout(place, "/d/f");
	upper_metacopy(place, "/target", 100, "/d/f");
	merges_to(place, "/ dir @\n/d dir @\n/target #ab 600 @\n");
}

static void a_file_renamed_back_has_its_data(void **state)
{
	struct place *place = *state;

	lower_pooled(place, "/f", 0xab);
	upper_metacopy(place, "/f", 100, "/f");
	upper_whiteout(place, "/g");
	merges_to(place, "/ dir @\n/f #ab 600 @\n");
}

static void exchanged_files_and_directories_have_changed_places(void **state)
{
	struct place *place = *state;

	lower_pooled(place, "/a", 0xaa);
	lower_pooled(place, "/b", 0xbb);
	lower_dir(place, "/d");
	lower_file(place, "/d/in-d", "d");
	lower_dir(place, "/e");
	lower_file(place, "/e/in-e", "e");
	upper_metacopy(place, "/a", 100, "b");
	upper_metacopy(place, "/b", 100, "a");
	upper_dir(place, "/d");
	mark(place, "/d", "redirect", "e");
	upper_dir(place, "/e");
	mark(place, "/e", "redirect", "d");
	merges_to(place, "/ dir @\n/a #bb 600 @\n/b #aa 600 @\n/d dir @\n/d/in-e 'e'\n"
			 "/e dir @\n/e/in-d 'd'\n");
}

static void names_linked_to_a_lower_file_are_one_inode(void **state)
{
	struct place *place = *state;

	lower_pooled(place, "/f", 0xab);
	lower_dir(place, "/d");
	upper_metacopy(place, "/f", 100, "/f");
	upper_dir(place, "/d");
	upper_link(place, "/f", "/d/link");
	upper_file(place, "/new", "n");
	upper_link(place, "/new", "/new2");
	merges_to(place, "/ dir @\n/d dir @\n/d/link #ab 600 @\n/f = /d/link\n"
			 "/new 'n' @\n/new2 = /new\n");
	assert_int_equal(place->n_content, 1);
}

static void names_that_are_left_of_an_inode_are_one_again(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/a");
	lower_pooled(place, "/a/inode", 0xab);
	lower_dir(place, "/b");
	lower_link(place, "/l1", "/a/inode");
	lower_link(place, "/l2", "/a/inode");
	lower_pooled(place, "/m", 0xcd);
	lower_link(place, "/n", "/m");
	/* The name that has the inode goes with its directory; of the other both stay. */
	upper_whiteout(place, "/a");
	upper_dir(place, "/b");
	upper_file(place, "/b/new", "n");
	merges_to(place, "/ dir @\n/b dir @\n/b/new 'n' @\n/l1 #ab\n/l2 = /l1\n"
			 "/m #cd\n/n = /m\n");
}

static void a_tree_that_was_merged_often_is_worn(void **state)
{
	struct place *place = *state;

	assert_false(tree_is_worn(place->lower));
	place->lower->n_bytes_first = arena_size(place->lower->arena);
	assert_false(tree_is_worn(place->lower));
	assert_non_null(arena_alloc(place->lower->arena, 5 * MIB));
	assert_true(tree_is_worn(place->lower));
}

static void whiteouts_hide_files_and_whole_directories(void **state)
{
	struct place *place = *state;

	lower_file(place, "/a", "a");
	lower_file(place, "/b", "b");
	lower_dir(place, "/d");
	lower_file(place, "/d/f", "f");
	upper_whiteout(place, "/b");
	upper_link(place, "/b", "/d");
	upper_link(place, "/b", "/never-there");
	merges_to(place, "/ dir @\n/a 'a'\n");
	assert_int_equal(place->report.n_whiteouts, 3);
}

static void a_renamed_directory_brings_what_is_below(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_dir(place, "/d/s");
	lower_file(place, "/d/s/f", "f");
	lower_file(place, "/d/g", "g");
	upper_whiteout(place, "/d");
	upper_dir(place, "/e");
	mark(place, "/e", "redirect", "d");
	mark(place, "/e", "origin", "handle");
	merges_to(place, "/ dir @\n/e dir @\n/e/g 'g'\n/e/s dir\n/e/s/f 'f'\n");
	assert_int_equal(place->report.n_taken, 3);
}

static void redirects_are_paths_of_the_lower_tree(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_dir(place, "/d/s1");
	lower_dir(place, "/d/s1/s2");
	lower_file(place, "/d/s1/s2/f", "f");
	lower_file(place, "/d/s1/h", "h");
	lower_file(place, "/d/s1/i", "i");
	/* d became e, e/s1/s2 became out, and in e/s1 h became k. */
	upper_whiteout(place, "/d");
	upper_dir(place, "/e");
	mark(place, "/e", "redirect", "d");
	upper_dir(place, "/e/s1");
	upper_whiteout(place, "/e/s1/s2");
	upper_whiteout(place, "/e/s1/h");
	upper_metacopy(place, "/e/s1/k", 1, "h");
	upper_dir(place, "/out");
	mark(place, "/out", "redirect", "/d/s1/s2");
	merges_to(place, "/ dir @\n/e dir @\n/e/s1 dir @\n/e/s1/i 'i'\n"
			 "/e/s1/k 'h' 600 @\n/out dir @\n/out/f 'f'\n");
}

static void a_changed_directory_keeps_what_is_below(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_file(place, "/d/f", "f");
	lower_file(place, "/d/g", "g");
	upper_dir(place, "/d");
	mark(place, "/d", "origin", "handle");
	mark(place, "/d", "impure", "y");
	upper_file(place, "/d/g", "new");
	merges_to(place, "/ dir @\n/d dir @\n/d/f 'f'\n/d/g 'new' @\n");
}

static void files_and_directories_replace_each_other(void **state)
{
	struct place *place = *state;

	lower_file(place, "/f", "f");
	lower_dir(place, "/d");
	lower_file(place, "/d/g", "g");
	upper_dir(place, "/f");
	mark(place, "/f", "opaque", "y");
	upper_file(place, "/f/in", "in");
	upper_file(place, "/d", "now a file");
	merges_to(place, "/ dir @\n/d 'now a file' @\n/f dir @\n/f/in 'in' @\n");
}

static void a_directory_whose_lower_is_a_file_or_missing_is_new(void **state)
{
	struct place *place = *state;

	lower_file(place, "/f", "f");
	upper_dir(place, "/f");
	upper_dir(place, "/lost");
	mark(place, "/lost", "redirect", "/no/such");
	upper_dir(place, "/up");
	mark(place, "/up", "redirect", "/f/../f");
	merges_to(place, "/ dir @\n/f dir @\n/lost dir @\n/up dir @\n");
}

static void escaped_xattrs_get_their_names_back(void **state)
{
	struct place *place = *state;

	upper_file(place, "/f", "f");
	mark(place, "/f", "overlay.mine", "1");
	mark(place, "/f", "overlay.overlay.mine", "2");
	mark(place, "/f", "overlay.opaque", "3");
	mark(place, "/f", "nlink", "U+1");
	mark(place, "/f", "upper", "handle");
	assert_int_equal(setxattr(in_upper(place, "/f"), "user.overlay.x", "4", 1, 0), 0);
	assert_int_equal(setxattr(in_upper(place, "/f"), "trusted.a", "5", 1, 0), 0);
	assert_int_equal(setxattr(in_upper(place, "/f"), "trusted.z", "6", 1, 0), 0);
	merges_to(place, "/ dir @\n/f 'f' @ trusted.a=5 trusted.overlay.mine=1 "
			 "trusted.overlay.opaque=3 trusted.overlay.overlay.mine=2 "
			 "trusted.z=6 user.overlay.x=4\n");
}

static void lower_whiteouts(struct place *place)
{
	lower_dir(place, "/d");
	(void)lower_add(place, "/d/w1", S_IFCHR | 0644);
	(void)lower_add(place, "/d/w2", S_IFCHR | 0644);
}

static void a_copied_up_whiteout_of_the_tree_is_one_again(void **state)
{
	struct place *place = *state;

	lower_whiteouts(place);
	upper_dir(place, "/d");
	mark_whiteout_directory(place, "/d");
	upper_metacopy(place, "/d/w1", 0, NULL);
	mark(place, "/d/w1", "overlay.whiteout", "");
	assert_int_equal(
		setxattr(in_upper(place, "/d/w1"), "user.overlay.whiteout", "", 0, 0), 0);
	merges_to(place, "/ dir @\n/d dir @\n/d/w1 whiteout @\n/d/w2 whiteout\n");
}

static void the_last_whiteout_takes_the_marks_with_it(void **state)
{
	struct place *place = *state;

	lower_whiteouts(place);
	lower_file(place, "/d/f", "f");
	upper_dir(place, "/d");
	mark_whiteout_directory(place, "/d");
	upper_whiteout(place, "/d/w1");
	upper_whiteout(place, "/d/w2");
	assert_int_equal(setxattr(in_upper(place, "/d"), "user.mine", "1", 1, 0), 0);
	merges_to(place, "/ dir @\n/d dir @ user.mine=1\n/d/f 'f'\n");
}

static void marks_that_no_whiteout_explains_are_the_users(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	upper_dir(place, "/d");
	mark_whiteout_directory(place, "/d");
	merges_to(place, "/ dir @\n/d dir @ trusted.overlay.opaque=x "
			 "trusted.overlay.whiteouts= user.overlay.opaque=x "
			 "user.overlay.whiteouts=\n");
}

/* Hard links of the lower tree. */

static void lower_group(struct place *place)
{
	lower_pooled(place, "/h1", 0xab);
	lower_link(place, "/h2", "/h1");
	lower_link(place, "/h3", "/h1");
}

static void a_change_through_one_name_shows_at_all(void **state)
{
	struct place *place = *state;

	lower_group(place);
	upper_metacopy(place, "/h2", 100, NULL);
	index_link(place, "/h2", "/h2");
	merges_to(place, "/ dir @\n/h1 #ab 600 @\n/h2 = /h1\n/h3 = /h1\n");
	assert_int_equal(place->report.n_metadata, 1);
}

static void without_an_index_the_name_leaves_the_group(void **state)
{
	struct place *place = *state;

	closep(&place->index_fd);
	place->index_fd = -EBADF;
	lower_group(place);
	upper_metacopy(place, "/h1", 100, NULL);
	merges_to(place, "/ dir @\n/h1 #ab 600 @\n/h2 #ab\n/h3 = /h2\n");
}

static void a_change_lives_on_when_its_name_is_gone(void **state)
{
	struct place *place = *state;

	lower_group(place);
	metacopy_at(index_name(place, "/h1", false), 100, "/h1");
	upper_whiteout(place, "/h1");
	merges_to(place, "/ dir @\n/h2 #ab 600 @\n/h3 = /h2\n");
	assert_int_equal(place->n_index_content, 0);
}

static void data_that_only_the_index_has_is_taken_from_there(void **state)
{
	struct place *place = *state;

	lower_group(place);
	upper_file(place, "/h1", "written");
	assert_int_equal(renameat(place->upper_fd, "h1", AT_FDCWD,
				  index_name(place, "/h1", false)),
			 0);
	upper_whiteout(place, "/h1");
	merges_to(place, "/ dir @\n/h2 'written' @\n/h3 = /h2\n");
	assert_int_equal(place->n_content, 0);
	assert_int_equal(place->n_index_content, 1);
}

static void new_names_join_the_group_through_the_index(void **state)
{
	struct place *place = *state;

	lower_group(place);
	upper_file(place, "/h2", "written");
	index_link(place, "/h2", "/h2");
	upper_link(place, "/h2", "/a-new");
	upper_whiteout(place, "/h3");
	merges_to(place, "/ dir @\n/a-new 'written' @\n/h1 = /a-new\n/h2 = /a-new\n");
}

static void handles_of_older_kernels_are_known(void **state)
{
	struct place *place = *state;

	lower_group(place);
	upper_metacopy(place, "/h2", 100, NULL);
	assert_int_equal(link(in_upper(place, "/h2"), index_name(place, "/h2", true)), 0);
	merges_to(place, "/ dir @\n/h1 #ab 600 @\n/h2 = /h1\n/h3 = /h1\n");
}

static void what_a_crash_leaves_in_the_index_is_ignored(void **state)
{
	struct place *place = *state;
	struct cop_error err = {};

	lower_group(place);
	assert_ok(fs_write_new(place->index_fd, "#1", "left", 4, 0600, &err), &err);
	assert_int_equal(mknodat(place->index_fd, "#2", S_IFCHR | 0600, 0), 0);
	assert_int_equal(mkdirat(place->index_fd, "00fb21", 0700), 0);
	assert_int_equal(mknod(index_name(place, "/h1", false), S_IFCHR | 0600, 0), 0);
	upper_whiteout(place, "/h3");
	merges_to(place, "/ dir @\n/h1 #ab\n/h2 = /h1\n");
	assert_int_equal(place->n_index_content, 0);
}

static void an_index_alone_is_a_change(void **state)
{
	struct place *place = *state;

	lower_group(place);
	place->lower->root->mtime_sec = UPPER_TIME;
	metacopy_at(index_name(place, "/h1", false), 100, NULL);
	merges_to(place, "/ dir @\n/h1 #ab 600 @\n/h2 = /h1\n/h3 = /h1\n");
}

/* The result does not lean on the lower tree. */
static void the_result_outlives_the_lower_tree(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	auto_free char *text = NULL;
	struct cop_error err = {};
	struct tree_node *node, *link;

	lower_dir(place, "/d");
	lower_file(place, "/d/a", "a");
	lower_file(place, "/d/b", "b");
	node = lower_file(place, "/d/c", "c");
	for (int i = 0; i < 3; i++) {
		char key[] = {'u', 's', 'e', 'r', '.', (char)('a' + i), '\0'};

		assert_ok(tree_set_xattr(place->lower, node, key, "v", 1, &err), &err);
	}
	assert_ok(merge(place, &tree, &err), &err);
	place->lower = tree_free(place->lower);
	/* Lists have the room that adding to them counts on. */
	node = tree_find(tree, "/d/c");
	assert_ok(tree_set_xattr(tree, node, "user.d", "v", 1, &err), &err);
	assert_ok(tree_add_link(tree, tree_find(tree, "/d"), "e", 1, node, &link, &err),
		  &err);
	assert_ok(tree_canonicalise(tree, &err), &err);
	text = describe(tree);
	assert_string_equal(text, "/ dir @\n/d dir\n/d/a 'a'\n/d/b 'b'\n/d/c 'c' "
				  "user.a=v user.b=v user.c=v user.d=v\n/d/e = /d/c\n");
}

/* What no overlay makes, or what no tree can hold. */

static void data_that_the_lower_tree_lacks_is_refused(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	upper_dir(place, "/d");
	upper_metacopy(place, "/d/f", 3, NULL);
	merge_fails(place, -EUCLEAN,
		    "'/d/f': its data should be in the lower tree, which has no 'f'");
}

static void a_redirect_in_a_new_directory_must_be_absolute(void **state)
{
	struct place *place = *state;

	lower_file(place, "/f", "abc");
	upper_dir(place, "/d");
	upper_metacopy(place, "/d/g", 3, "f");
	merge_fails(place, -EUCLEAN,
		    "'/d/g': its data should be in the lower tree, which has no 'f'");
}

static void data_of_another_size_is_refused(void **state)
{
	struct place *place = *state;

	lower_pooled(place, "/f", 0xab);
	upper_metacopy(place, "/f", 99, NULL);
	merge_fails(place, -EUCLEAN,
		    "'/f': it has 99 bytes, but its data in the lower tree 100");
}

static void data_of_what_is_no_file_is_refused(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	upper_metacopy(place, "/f", 0, "d");
	merge_fails(place, -EUCLEAN,
		    "'/f': its data should be in the lower tree, where it is no file");
}

static void redirects_that_no_overlay_writes_are_refused(void **state)
{
	static const struct {
		const char *value;
		size_t size;
	} bad[] = {{"", 0}, {"a/b", 3}, {"a\0b", 3}, {"/a\0", 3}};
	struct place *place = *state;

	lower_dir(place, "/a");
	upper_dir(place, "/d");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		set_mark(in_upper(place, "/d"), "redirect", bad[i].value, bad[i].size);
		place->n_settled = 0;
		merge_fails(place, -EUCLEAN,
			    "'/d': the overlay's redirect is neither a name nor an "
			    "absolute path");
	}
}

static void a_directory_cannot_be_in_two_places(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	upper_dir(place, "/e");
	mark(place, "/e", "redirect", "d");
	upper_dir(place, "/f");
	mark(place, "/f", "redirect", "/d");
	merge_fails(place, -EUCLEAN,
		    "'/f': it and another directory both stand for the lower '/d'");
}

static void a_directory_cannot_be_within_itself(void **state)
{
	struct place *place = *state;

	upper_dir(place, "/loop");
	mark(place, "/loop", "redirect", "/");
	merge_fails(place, -EUCLEAN,
		    "'/loop': it and another directory both stand for the lower '/'");
}

static void a_moved_directory_must_be_gone_from_its_old_place(void **state)
{
	struct place *place = *state;

	lower_dir(place, "/d");
	lower_dir(place, "/d/s");
	upper_dir(place, "/e");
	mark(place, "/e", "redirect", "/d/s");
	merge_fails(place, -EUCLEAN, "'/e': it was moved, but is still at 's'");
}

static void immutable_files_are_refused_by_name(void **state)
{
	struct place *place = *state;

	upper_dir(place, "/d");
	upper_file(place, "/d/f", "f");
	mark(place, "/d/f", "protattr", "i");
	merge_fails(
		place, -EOPNOTSUPP,
		"'/d/f' is immutable or append-only, which no tree can keep; take the "
		"flag off with chattr -i -a");
	assert_int_equal(place->n_content, 1);
}

static void marks_that_are_not_known_are_refused(void **state)
{
	struct place *place = *state;

	upper_file(place, "/f", "f");
	mark(place, "/f", "future", "1");
	merge_fails(
		place, -EOPNOTSUPP,
		"'/f' has xattr 'trusted.overlay.future' of an overlay that is newer");
}

static void an_index_of_another_tree_is_refused(void **state)
{
	struct place *place = *state;

	lower_group(place);
	metacopy_at(index_name(place, "/", false), 100, NULL);
	merge_fails(place, -EUCLEAN,
		    "index entry '/00fb210081000000000000000000000000000000000000000"
		    "0e803000000000000': the lower tree has no such file");
}

static void an_index_entry_of_another_type_is_refused(void **state)
{
	struct place *place = *state;

	lower_group(place);
	assert_int_equal(mkfifo(index_name(place, "/h1", false), 0644), 0);
	merge_fails(place, -EUCLEAN,
		    "index entry '/00fb210081000000000000000000000000000000000000000"
		    "0e903000000000000': it stands for a file of another type in the "
		    "lower tree");
}

static void an_index_entry_that_is_no_handle_is_refused(void **state)
{
	struct place *place = *state;
	struct cop_error err = {};

	assert_ok(fs_write_new(place->index_fd, "00fb2100", "", 0, 0600, &err), &err);
	merge_fails(place, -EUCLEAN,
		    "index entry '/00fb2100': it stands for no file of an image");
}

static void two_index_entries_of_one_file_are_refused(void **state)
{
	struct place *place = *state;

	lower_group(place);
	metacopy_at(index_name(place, "/h1", false), 100, NULL);
	metacopy_at(index_name(place, "/h1", true), 100, NULL);
	{
		auto_ptr(tree) tree = NULL;
		struct cop_error err = {};

		assert_fails(merge(place, &tree, &err), -EUCLEAN, &err);
		assert_true(text_ends_with(err.message,
					   "another one stands for the same file"));
	}
}

/* 600 directories below 600 others are more than a tree may have. */
static void a_result_that_is_too_deep_is_refused(void **state)
{
	struct place *place = *state;
	struct tree_node *node = place->lower->root;
	auto_close int fd = openat(place->upper_fd, ".", O_RDONLY | O_CLOEXEC);
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	for (int i = 0; i < 600; i++) {
		struct tree_node *child;
		int below;

		assert_ok(tree_add(place->lower, node, "l", 1, S_IFDIR | 0755, &child,
				   &err),
			  &err);
		node = child;
		assert_int_equal(mkdirat(fd, "u", 0755), 0);
		below = openat(fd, "u", O_RDONLY | O_CLOEXEC);
		closep(&fd);
		fd = below;
	}
	assert_int_equal(fsetxattr(fd, T "redirect", "/l", 2, 0), 0);
	assert_int_equal(mknodat(place->upper_fd, "l", S_IFCHR, 0), 0);
	assert_ok(tree_canonicalise(place->lower, &err), &err);
	{
		const struct tree_merge_options options = {.upper = &place->scan,
							   .index_fd = -EBADF};

		assert_ok(
			tree_merge(&place->lower, place->upper_fd, &options, &tree, &err),
			&err);
	}
	assert_fails(tree_canonicalise(tree, &err), -ERANGE, &err);
}

static unsigned int next_random(unsigned int n)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005U + 1442695040888963407U;
	return (unsigned int)(state >> 33) % n;
}

static void random_mark(const char *path)
{
	static const char *const names[] = {
		"opaque",   "redirect", "redirect",	    "redirect",
		"metacopy", "origin",	"overlay.redirect", "overlay.opaque"};
	static const char *const values[] = {
		"",   "y",  "x",      "/",   "/d", "d",	     "s",     ".",
		"..", "/.", "//d/s/", "a/b", "/f", "/d/s/t", "/../d", "/nowhere"};
	const char *value = values[next_random(ARRAY_SIZE(values))];

	set_mark(path, names[next_random(ARRAY_SIZE(names))], value, strlen(value));
}

/* A merge uses it up, so it is there for one at a time. */
static void lower_again(struct place *place)
{
	struct cop_error err = {};

	place->lower = tree_free(place->lower);
	place->lower = tree_new(&err);
	assert_non_null(place->lower);
	lower_dir(place, "/d");
	lower_dir(place, "/d/s");
	lower_dir(place, "/d/s/t");
	lower_file(place, "/d/s/t/f", "f");
	lower_file(place, "/f", "");
	lower_pooled(place, "/h", 0xab);
	lower_link(place, "/h2", "/h");
	lower_file(place, "/g", "g");
	assert_ok(tree_finish(place->lower, &err), &err);
}

/* One upper with random marks and random entries of the index. */
static int merge_random(struct place *place)
{
	static const char *const paths[] = {"/d", "/d/s", "/d/s/t", "/e", "/e/f", "/f"};
	char indexed[160];
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};
	uint32_t n_most;
	int r;

	lower_again(place);
	n_most = place->lower->n_nodes;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		unsigned int kind = next_random(6);
		const char *name = paths[i] + 1;

		if (kind == 0)
			(void)mknodat(place->upper_fd, name, S_IFCHR, 0);
		else if (kind == 1)
			(void)mknodat(place->upper_fd, name, S_IFREG | 0644, 0);
		else if (kind < 5)
			(void)mkdirat(place->upper_fd, name, 0755);
		if (faccessat(place->upper_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		n_most++;
		for (int k = 0; kind > 0 && k < 2 && next_random(3) > 0; k++)
			random_mark(in_upper(place, paths[i]));
	}
	(void)snprintf(indexed, sizeof(indexed), "%s",
		       index_name(place, next_random(2) ? "/h" : "/g", false));
	if (next_random(3) == 0)
		(void)mknod(indexed, next_random(4) ? S_IFREG | 0644 : S_IFDIR, 0);
	r = merge(place, &tree, &err);
	if (r < 0)
		assert_true(err.message[0] == '\'' ||
			    text_starts_with(err.message, "index"));
	if (r == 0)
		assert_true(tree->n_nodes <= n_most);
	assert_ok(fs_remove_all(AT_FDCWD, indexed, true, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_ok(fs_remove_all(place->upper_fd, paths[i] + 1, true, &err), &err);
	return r;
}

static void random_marks_never_make_more_than_both_trees(void **state)
{
	struct place *place = *state;
	unsigned int n_merged = 0;

	for (int i = 0; i < 1500; i++)
		n_merged += merge_random(place) == 0;
	/* Neither is the rule. */
	assert_in_range(n_merged, 100, 1400);
}

static void a_failing_content_ends_the_merge(void **state)
{
	struct place *place = *state;
	auto_ptr(tree) tree = NULL;
	struct cop_error err = {};

	/* The second is read after the first was handed over. */
	upper_file(place, "/a", "a");
	assert_int_equal(symlinkat("x", place->upper_fd, "s"), 0);
	mark(place, "/s", "future", "1");
	assert_fails(merge(place, &tree, &err), -EOPNOTSUPP, &err);
	assert_int_equal(place->n_content, 1);
	assert_int_equal(place->n_settled, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static bool may_set_trusted(void)
{
	char path[] = "/tmp/coppice-merge-XXXXXX";
	int fd = mkstemp(path);
	bool may = fd >= 0 && fsetxattr(fd, T "x", "", 0, 0) == 0;

	(void)unlink(path);
	closep(&fd);
	return may;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_untouched_upper_gives_no_tree),
		TEST(marks_of_whiteouts_on_the_root_are_no_change),
		TEST(the_root_is_that_of_the_upper),
		TEST(new_entries_are_taken_as_they_are),
		TEST(an_opaque_directory_hides_the_lower_one),
		TEST(opaque_is_stronger_than_redirect),
		TEST(a_change_of_metadata_reads_no_data),
		TEST(a_written_file_has_its_own_data),
		TEST(a_file_renamed_in_its_directory_has_its_data),
		TEST(a_file_renamed_elsewhere_has_its_data),
		TEST(a_file_renamed_back_has_its_data),
		TEST(exchanged_files_and_directories_have_changed_places),
		TEST(names_linked_to_a_lower_file_are_one_inode),
		TEST(names_that_are_left_of_an_inode_are_one_again),
		TEST(a_tree_that_was_merged_often_is_worn),
		TEST(whiteouts_hide_files_and_whole_directories),
		TEST(a_renamed_directory_brings_what_is_below),
		TEST(redirects_are_paths_of_the_lower_tree),
		TEST(a_changed_directory_keeps_what_is_below),
		TEST(files_and_directories_replace_each_other),
		TEST(a_directory_whose_lower_is_a_file_or_missing_is_new),
		TEST(escaped_xattrs_get_their_names_back),
		TEST(a_copied_up_whiteout_of_the_tree_is_one_again),
		TEST(the_last_whiteout_takes_the_marks_with_it),
		TEST(marks_that_no_whiteout_explains_are_the_users),
		TEST(a_change_through_one_name_shows_at_all),
		TEST(without_an_index_the_name_leaves_the_group),
		TEST(a_change_lives_on_when_its_name_is_gone),
		TEST(data_that_only_the_index_has_is_taken_from_there),
		TEST(new_names_join_the_group_through_the_index),
		TEST(handles_of_older_kernels_are_known),
		TEST(what_a_crash_leaves_in_the_index_is_ignored),
		TEST(an_index_alone_is_a_change),
		TEST(the_result_outlives_the_lower_tree),
		TEST(data_that_the_lower_tree_lacks_is_refused),
		TEST(a_redirect_in_a_new_directory_must_be_absolute),
		TEST(data_of_another_size_is_refused),
		TEST(data_of_what_is_no_file_is_refused),
		TEST(redirects_that_no_overlay_writes_are_refused),
		TEST(a_directory_cannot_be_in_two_places),
		TEST(a_directory_cannot_be_within_itself),
		TEST(a_moved_directory_must_be_gone_from_its_old_place),
		TEST(immutable_files_are_refused_by_name),
		TEST(marks_that_are_not_known_are_refused),
		TEST(an_index_of_another_tree_is_refused),
		TEST(an_index_entry_of_another_type_is_refused),
		TEST(an_index_entry_that_is_no_handle_is_refused),
		TEST(two_index_entries_of_one_file_are_refused),
		TEST(a_result_that_is_too_deep_is_refused),
		TEST(random_marks_never_make_more_than_both_trees),
		TEST(a_failing_content_ends_the_merge),
	};

	if (!may_set_trusted()) {
		(void)fprintf(stderr, "needs root and a file system with trusted xattrs "
				      "at /tmp: skipped\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
