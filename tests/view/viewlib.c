/* SPDX-License-Identifier: Apache-2.0 */
#include "viewlib.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "store/object.h"

#define NOBODY 65534

bool is_root(void)
{
	return geteuid() == 0;
}

bool is_overlay(const struct scratch *scratch)
{
	return strncmp(view_describe(scratch->store), "overlay", 7) == 0;
}

/* What a test that fails leaves mounted goes away with us. */
static void hide_mounts(void)
{
	static bool hidden;

	if (hidden || !is_root())
		return;
	hidden = true;
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		print_message("mounts are not private: %s\n", strerror(errno));
}

int scratch_setup(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));
	struct cop_error err = {};

	if (!scratch)
		return -1;
	hide_mounts();
	(void)strcpy(scratch->path, "/tmp/coppice-view-XXXXXX");
	if (!mkdtemp(scratch->path))
		return -1;
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(scratch->store_path, sizeof(scratch->store_path), "%s/store",
		       scratch->path);
	if (mkdir(scratch->store_path, 0700) < 0 ||
	    cop_store_open(scratch->store_path, COP_STORE_CREATE, &scratch->store, &err) <
		    0) {
		print_error("%s\n", err.message);
		return -1;
	}
	*state = scratch;
	return 0;
}

int scratch_teardown(void **state)
{
	struct scratch *scratch = *state;
	struct cop_error err = {};
	int r;

	cop_store_close(scratch->store);
	closep(&scratch->fd);
	r = fs_remove_all(AT_FDCWD, scratch->path, true, &err);
	if (r < 0)
		print_error("%s\n", err.message);
	free(scratch);
	return r;
}

void scratch_reopen(struct scratch *scratch)
{
	struct cop_error err = {};

	scratch->store = cop_store_close(scratch->store);
	assert_ok(cop_store_open(scratch->store_path, 0, &scratch->store, &err), &err);
}

int scratch_count(const struct scratch *scratch, const char *path)
{
	auto_close int fd = openat(store_fd(scratch->store), path,
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	size_t n_names = 0;

	if (fd < 0 || fs_list(fd, &names, &n_names, NULL) < 0)
		return -1;
	fs_list_free(names);
	return (int)n_names;
}

const char *join(const char *dir, const char *name)
{
	static char paths[4][512];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

void write_file(const char *dir, const char *name, const char *text)
{
	auto_close int fd =
		open(join(dir, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
}

void write_times(const char *dir, const char *name, int64_t seconds)
{
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	assert_int_equal(utimensat(AT_FDCWD, join(dir, name), times, AT_SYMLINK_NOFOLLOW),
			 0);
}

struct cop_digest directory_digest(struct scratch *scratch, const char *path)
{
	const struct commit_directory_options options = {.source_epoch = -1,
							 .only_digest = true};
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cop_digest digest = {};
	struct cop_error err = {};

	assert_true(fd >= 0);
	assert_ok(store_commit_directory(scratch->store, fd, &options, &digest, &err),
		  &err);
	return digest;
}

void assert_digests_equal(struct cop_digest a, struct cop_digest b)
{
	assert_memory_equal(a.bytes, b.bytes, COP_DIGEST_SIZE);
}

void assert_digests_differ(struct cop_digest a, struct cop_digest b)
{
	assert_memory_not_equal(a.bytes, b.bytes, COP_DIGEST_SIZE);
}

bool overlay_works_here(void)
{
	struct scratch *scratch;
	void *state = NULL;
	bool works;

	if (!is_root() || scratch_setup(&state) < 0)
		return false;
	scratch = state;
	works = is_overlay(scratch);
	if (!works)
		print_message("skipped: the view here is: %s\n",
			      view_describe(scratch->store));
	(void)scratch_teardown(&state);
	return works;
}

struct tree *committed_tree(struct scratch *scratch, const char *id)
{
	struct cop_digest digest;
	struct cop_error err = {};
	struct tree *tree = NULL;

	assert_ok(cop_store_resolve(scratch->store, id, &digest, &err), &err);
	assert_ok(object_read_tree(scratch->store, &digest, &tree, &err), &err);
	return tree;
}

#define MOST_LARGE 40

/* The sample tree while it is made. */
struct sample {
	struct large {
		struct tree_node *node;
		int fd;
	} large[MOST_LARGE];
	size_t n_large;
	struct scratch *scratch;
	struct tree *tree;
	struct staging *staging;
	struct cop_error err;
	int64_t mtime;
};

static struct tree_node *add(struct sample *sample, struct tree_node *dir,
			     const char *name, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct tree_node *node = NULL;

	assert_ok(tree_add(sample->tree, dir, name, strlen(name), mode, &node,
			   &sample->err),
		  &sample->err);
	node->uid = uid;
	node->gid = gid;
	node->mtime_sec = sample->mtime++;
	node->mtime_nsec = 123456789;
	return node;
}

static void set_text(struct sample *sample, struct tree_node *node, const char *text)
{
	assert_ok(tree_set_content(sample->tree, node, text, strlen(text), &sample->err),
		  &sample->err);
}

/* Content for the pool: @size bytes, a hole in the middle when there is room for one. */
static void set_large(struct sample *sample, struct tree_node *node, uint64_t size)
{
	struct large *large = &sample->large[sample->n_large++];

	assert_in_range(sample->n_large, 1, MOST_LARGE);
	large->node = node;
	large->fd =
		openat(sample->scratch->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(large->fd >= 0);
	assert_int_equal(ftruncate(large->fd, (off_t)size), 0);
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(pwrite(large->fd, node->name, 1, (off_t)i), 1);
	assert_int_equal(pwrite(large->fd, "end", 3, (off_t)size - 3), 3);
	node->size = size;
}

/* Last of all, as the threads of the staging write into the tree, too. */
static void stage_large(struct sample *sample)
{
	for (size_t i = 0; i < sample->n_large; i++) {
		struct large *large = &sample->large[i];
		struct stat st;

		assert_int_equal(fstat(large->fd, &st), 0);
		assert_ok(staging_add(sample->staging, sample->tree, large->node,
				      large->fd, &st, large->node->name, &sample->err),
			  &sample->err);
	}
	assert_ok(staging_finish(sample->staging, &sample->err), &sample->err);
}

static void set_xattr(struct sample *sample, struct tree_node *node, const char *key,
		      const void *value, size_t size)
{
	assert_ok(tree_set_xattr(sample->tree, node, key, value, size, &sample->err),
		  &sample->err);
}

static void add_programs(struct sample *sample)
{
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0};
	struct tree_node *bin =
		add(sample, sample->tree->root, "bin", S_IFDIR | 0755, 0, 0);
	struct tree_node *node;

	set_large(sample, add(sample, bin, "sudo", S_IFREG | 04755, 0, 0), 100000);
	set_large(sample, add(sample, bin, "wall", S_IFREG | 02755, 0, 5), 5000);
	set_large(sample, add(sample, bin, "both", S_IFREG | 06711, 10, 20), 65);
	node = add(sample, bin, "ping", S_IFREG | 0755, 0, 0);
	set_large(sample, node, 70);
	set_xattr(sample, node, "security.capability", capability, sizeof(capability));
	node = add(sample, bin, "sh", S_IFLNK | 0777, 3, 4);
	assert_ok(tree_set_target(sample->tree, node, "dash", 4, &sample->err),
		  &sample->err);
}

static void add_specials(struct sample *sample)
{
	struct tree_node *dev =
		add(sample, sample->tree->root, "dev", S_IFDIR | 0755, 0, 0);
	struct tree_node *node;

	node = add(sample, dev, "null", S_IFCHR | 0666, 0, 0);
	assert_int_equal(tree_rdev(makedev(1, 3), &node->rdev), 0);
	node = add(sample, dev, "sda", S_IFBLK | 0660, 0, 6);
	assert_int_equal(tree_rdev(makedev(8, 0), &node->rdev), 0);
	add(sample, dev, "fifo", S_IFIFO | 0600, 7, 7);
	add(sample, dev, "log", S_IFSOCK | 0666, 8, 8);
}

static void add_homes(struct sample *sample)
{
	struct tree_node *home =
		add(sample, sample->tree->root, "home", S_IFDIR | 0755, 0, 0);

	for (uint32_t i = 0; i < 20; i++) {
		char name[16];
		struct tree_node *dir;

		(void)snprintf(name, sizeof(name), "user%02u", i);
		dir = add(sample, home, name, S_IFDIR | (i % 2 ? 0700 : 02775), 1000 + i,
			  2000 + i);
		set_text(sample,
			 add(sample, dir, "name", S_IFREG | 0600, 1000 + i, 2000 + i),
			 name);
		set_large(sample, add(sample, dir, "mail", S_IFREG | 0400, 1000 + i, 8),
			  1000 + i);
	}
}

static void add_rest(struct sample *sample)
{
	static const uint8_t acl[] = {
		2, 0,	0,   0,	  1,   0,   6,	0, 255, 255, 255, 255, 2,   0,	4,
		0, 232, 3,   0,	  0,   4,   0,	4, 0,	255, 255, 255, 255, 16, 0,
		4, 0,	255, 255, 255, 255, 32, 0, 4,	0,   255, 255, 255, 255};
	struct tree_node *root = sample->tree->root;
	struct tree_node *etc = add(sample, root, "etc", S_IFDIR | 0555, 0, 0);
	struct tree_node *locked = add(sample, etc, "locked", S_IFDIR, 0, 0);
	struct tree_node *node, *link;

	set_text(sample, add(sample, locked, "inside", S_IFREG, 0, 0), "dark");
	set_text(sample, add(sample, etc, "shadow", S_IFREG | 0640, 0, 42), "root:*:");
	set_large(sample, add(sample, etc, "gshadow", S_IFREG, 0, 42), 300);
	add(sample, etc, "empty", S_IFREG | 0644, 0, 0);
	node = add(sample, etc, "hosts", S_IFREG | 0644, 0, 0);
	set_text(sample, node, "127.0.0.1 localhost");
	set_xattr(sample, node, "user.note", "plain", 5);
	set_xattr(sample, node, "trusted.note", "secret", 6);
	node = add(sample, etc, "acl", S_IFREG | 0644, 0, 0);
	set_xattr(sample, node, "system.posix_acl_access", acl, sizeof(acl));
	node = add(sample, root, "first-name", S_IFREG | 0644, 33, 33);
	set_large(sample, node, 4096);
	assert_ok(tree_add_link(sample->tree, etc, "second-name", 11, node, &link,
				&sample->err),
		  &sample->err);
	assert_ok(tree_add_link(sample->tree, root, "third-name", 10, node, &link,
				&sample->err),
		  &sample->err);
	set_large(sample, add(sample, root, "sparse", S_IFREG | 0644, 0, 0), 1 << 22);
	add(sample, root, "tmp", S_IFDIR | 01777, 0, 0);
}

static void commit_tree(struct sample *sample, struct workdir *workdir, const char *name,
			struct cop_digest *digest)
{
	struct commit_request request = {.tree = sample->tree,
					 .workdir = workdir,
					 .staging = sample->staging,
					 .class = REF_NAME,
					 .name = name};
	struct cop_error *err = &sample->err;

	stage_large(sample);
	assert_ok(tree_finish(sample->tree, err), err);
	assert_ok(tree_canonicalise(sample->tree, err), err);
	assert_ok(store_commit(sample->scratch->store, &request, digest, err), err);
}

static struct cop_digest make_tree(struct scratch *scratch, const char *name,
				   const char *text)
{
	struct sample sample = {.scratch = scratch, .mtime = 1600000000};
	auto_ptr(workdir) workdir = NULL;
	auto_ptr(staging) staging = NULL;
	auto_ptr(tree) tree = tree_new(&sample.err);
	struct cop_digest digest = {};

	assert_non_null(tree);
	assert_ok(workdir_new(scratch->store, "sample", NULL, &workdir, &sample.err),
		  &sample.err);
	assert_ok(staging_new(scratch->store, workdir, NULL, &staging, &sample.err),
		  &sample.err);
	sample.tree = tree;
	sample.staging = staging;
	tree->root->mtime_sec = 1500000000;
	if (text) {
		tree->root->uid = geteuid();
		tree->root->gid = getegid();
		set_text(&sample,
			 add(&sample, tree->root, "data", S_IFREG | 0644, geteuid(),
			     getegid()),
			 text);
	} else {
		add_programs(&sample);
		add_specials(&sample);
		add_homes(&sample);
		add_rest(&sample);
	}
	commit_tree(&sample, workdir, name, &digest);
	return digest;
}

struct cop_digest commit_sample(struct scratch *scratch, const char *name)
{
	return make_tree(scratch, name, NULL);
}

struct cop_digest commit_small(struct scratch *scratch, const char *name,
			       const char *text)
{
	return make_tree(scratch, name, text);
}

bool lacks_overlay(void)
{
	const char *kind = getenv("COPPICE_VIEW");

	if (is_root() || !kind || strcmp(kind, "overlay") != 0)
		return false;
	print_message("skipped: overlay views take root\n");
	return true;
}

int run_as_nobody(int (*run)(void))
{
	int status = 1;
	pid_t pid;

	if (!is_root()) {
		print_message("skipped as another user: we are a plain user already\n");
		return 0;
	}
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(1);
		/* Else /proc/self would belong to root now. */
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
		/* All that a plain user may have. */
		(void)setenv("COPPICE_VIEW", "copy", 1);
		exit(run());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
