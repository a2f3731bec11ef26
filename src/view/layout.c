/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread walks the tree and makes the names, two others fill files from the pool and
 * finish them by their fds.  A directory gets its attributes when it is left, as every
 * name made in it changes its times and its mode may forbid more of them.
 */
#include "view/layout.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/monotonic.h"
#include "base/work.h"
#include "store/object.h"
#include "view/descent.h"
#include "view/view.h"

#define N_COPIERS	     2
#define PROGRESS_INTERVAL_NS 50000000

struct layout {
	struct cop_store *store;
	const struct tree *tree;
	int root_fd;
	enum attributes_mode mode;
	const struct cop_progress *progress;
	int64_t next_progress_ns;
	struct work *work;
	struct descent descent;
	const struct tree_node *here; /* the directory that descent is in */
	/* By index of the inode's node: the name under which it was made. */
	const struct tree_node **made_as;
	/* The directory that a hard link was last taken from. */
	const struct tree_node *link_dir;
	int link_dir_fd;
};

struct copy_job {
	int fd;
	const struct tree_node *inode;
	const struct tree_node *name;
};

static void layout_done(struct layout *layout)
{
	layout->work = work_free(layout->work);
	descent_done(&layout->descent);
	closep(&layout->link_dir_fd);
	free(layout->made_as);
}

static int at_path(const struct tree_node *name, int r, struct cop_error *err)
{
	auto_free char *path = r < 0 ? tree_path(name) : NULL;

	return r < 0 ? err_prefix(err, r, "'%s'", path ? path : name->name) : 0;
}

static int finish_file(const struct layout *layout, int fd, bool is_path,
		       const struct tree_node *inode, struct cop_error *err)
{
	return attributes_apply(fd, is_path, inode, layout->mode, err);
}

static int fill_and_finish(const struct layout *layout, int fd,
			   const struct tree_node *inode, struct cop_error *err)
{
	auto_close int from =
		pool_open_file(layout->store, inode->digest, inode->size, err);
	int r;

	if (from < 0)
		return from;
	r = fs_copy_data(from, fd, inode->size, err);
	return r < 0 ? r : finish_file(layout, fd, false, inode, err);
}

/* close reports what quotas and network file systems find out late */
static int close_written(int *fd, struct cop_error *err)
{
	return close(TAKE_FD(*fd)) < 0 && errno != EINTR ? err_errno(err, "close") : 0;
}

static int run_copy_job(void *data, void *item, struct cop_error *err)
{
	const struct layout *layout = data;
	auto_free struct copy_job *job = item;
	auto_close int fd = job->fd;
	int r = fill_and_finish(layout, fd, job->inode, err);

	if (r == 0)
		r = close_written(&fd, err);
	return at_path(job->name, r, err);
}

static void drop_copy_job(void *data, void *item)
{
	struct copy_job *job = item;

	(void)data;
	closep(&job->fd);
	free(job);
}

/* @fd is consumed. */
static int queue_copy(struct layout *layout, int fd, const struct tree_node *inode,
		      const struct tree_node *name, struct cop_error *err)
{
	struct copy_job *job = malloc(sizeof(*job));

	if (!job) {
		closep(&fd);
		return err_oom(err);
	}
	*job = (struct copy_job){.fd = fd, .inode = inode, .name = name};
	/* The worker's own message comes from work_finish(). */
	return work_add(layout->work, job);
}

static int make_file(const struct layout *layout, const char *name, struct cop_error *err)
{
	int fd = openat(layout->descent.fd, name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(err, "create") : fd;
}

static int lay_regular(struct layout *layout, const struct tree_node *name,
		       const struct tree_node *inode, struct cop_error *err)
{
	auto_close int fd = make_file(layout, name->name, err);
	int r;

	if (fd < 0)
		return fd;
	if (inode->digest)
		return queue_copy(layout, TAKE_FD(fd), inode, name, err);
	if (inode->size > 0 && !inode->content)
		return err_set(err, -EINVAL, "the tree does not say what is in it");
	r = fs_write_all(fd, inode->content, (size_t)inode->size);
	if (r < 0)
		return err_code(err, r, "write");
	r = finish_file(layout, fd, false, inode, err);
	return r < 0 ? r : close_written(&fd, err);
}

/* For what is neither a file nor a directory; we look again at what we made, as it is
 * only reached by name. */
static int finish_by_name(const struct layout *layout, const struct tree_node *name,
			  const struct tree_node *inode, struct cop_error *err)
{
	auto_close int fd =
		openat(layout->descent.fd, name->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "open");
	if ((st.st_mode & S_IFMT) != (inode->mode & S_IFMT))
		return err_set(err, -ESTALE, "somebody else replaced it meanwhile");
	return finish_file(layout, fd, true, inode, err);
}

static int lay_symlink(const struct layout *layout, const struct tree_node *name,
		       const struct tree_node *inode, struct cop_error *err)
{
	if (!inode->target)
		return err_set(err, -EINVAL, "the tree does not say where it points to");
	if (symlinkat(inode->target, layout->descent.fd, name->name) < 0)
		return err_errno(err, "make symlink");
	return finish_by_name(layout, name, inode, err);
}

static int lay_placeholder(const struct layout *layout, const struct tree_node *name,
			   const struct tree_node *inode, struct cop_error *err)
{
	auto_close int fd = make_file(layout, name->name, err);

	return fd < 0 ? fd : finish_file(layout, fd, false, inode, err);
}

static int lay_special(const struct layout *layout, const struct tree_node *name,
		       const struct tree_node *inode, struct cop_error *err)
{
	mode_t type = inode->mode & S_IFMT;
	int r;

	if (mknodat(layout->descent.fd, name->name, type | 0600,
		    tree_rdev_to_dev(inode->rdev)) == 0)
		return finish_by_name(layout, name, inode, err);
	r = -errno;
	if (layout->mode == ATTRIBUTES_TOLERANT && r == -EPERM)
		return lay_placeholder(layout, name, inode, err);
	return err_code(err, r, "make %s%s",
			S_ISCHR(type)	 ? "character device"
			: S_ISBLK(type)	 ? "block device"
			: S_ISFIFO(type) ? "fifo"
					 : "socket",
			attributes_needing(r, " (it takes CAP_MKNOD)"));
}

static int lay_directory(struct layout *layout, const struct tree_node *node,
			 struct cop_error *err)
{
	int r;

	if (mkdirat(layout->descent.fd, node->name, 0700) < 0)
		return err_errno(err, "make directory");
	r = descent_enter(&layout->descent, node->name);
	if (r < 0)
		return err_code(err, r, "open directory");
	layout->here = node;
	return 0;
}

/* The directory @dir, step by step from the root: its path may be longer than the kernel
 * takes at once. */
static int open_from_root(int root_fd, const struct tree_node *dir)
{
	const struct tree_node *chain[TREE_DEPTH_MAX];
	auto_close int fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;

	for (; dir->parent; dir = dir->parent) {
		if (n == ARRAY_SIZE(chain))
			return -ELOOP;
		chain[n++] = dir;
	}
	while (fd >= 0 && n > 0) {
		int next = openat(fd, chain[--n]->name,
				  O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		closep(&fd);
		fd = next;
	}
	return fd < 0 ? -errno : TAKE_FD(fd);
}

static int directory_of(struct layout *layout, const struct tree_node *node)
{
	if (node->parent == layout->here)
		return layout->descent.fd;
	if (node->parent != layout->link_dir) {
		int fd = open_from_root(layout->root_fd, node->parent);

		if (fd < 0)
			return fd;
		closep(&layout->link_dir_fd);
		layout->link_dir_fd = fd;
		layout->link_dir = node->parent;
	}
	return layout->link_dir_fd;
}

static int lay_link(struct layout *layout, const struct tree_node *name,
		    const struct tree_node *made_as, struct cop_error *err)
{
	int from = directory_of(layout, made_as);

	if (from >= 0 &&
	    linkat(from, made_as->name, layout->descent.fd, name->name, 0) == 0)
		return 0;
	return err_code(err, from < 0 ? from : -errno, "make hard link to '%s'",
			made_as->name);
}

static int lay_node(struct layout *layout, const struct tree_node *node,
		    struct cop_error *err)
{
	const struct tree_node *inode = tree_inode(node);
	const struct tree_node **made_as = &layout->made_as[inode->index];

	if (*made_as)
		return lay_link(layout, node, *made_as, err);
	*made_as = node;
	switch (inode->mode & S_IFMT) {
	case S_IFDIR:
		return lay_directory(layout, node, err);
	case S_IFREG:
		return lay_regular(layout, node, inode, err);
	case S_IFLNK:
		return lay_symlink(layout, node, inode, err);
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return lay_special(layout, node, inode, err);
	default:
		return err_set(err, -EINVAL, "mode %06o has no known type", inode->mode);
	}
}

static int leave_directory(struct layout *layout, struct cop_error *err)
{
	const struct tree_node *left = layout->here;
	auto_close int fd = -EBADF;
	int r;

	/* Up before the attributes: they may forbid us to search the directory. */
	r = descent_leave(&layout->descent, &fd);
	if (r < 0)
		r = err_code(err, r, "leave directory");
	else
		r = finish_file(layout, fd, false, left, err);
	layout->here = left->parent;
	return at_path(left, r, err);
}

static void report(struct layout *layout, uint64_t done)
{
	const struct cop_progress *progress = layout->progress;
	int64_t now_ns;

	if (!progress || !progress->update)
		return;
	now_ns = monotonic_ns();
	if (now_ns < layout->next_progress_ns && done < layout->tree->n_nodes)
		return;
	layout->next_progress_ns = now_ns + PROGRESS_INTERVAL_NS;
	progress->update(progress->data, "laying out", done, layout->tree->n_nodes,
			 "entries");
}

static int lay_tree(struct layout *layout, struct cop_error *err)
{
	const struct tree_node *root = layout->tree->root;
	uint64_t done = 1;
	int r = 0;

	layout->here = root;
	for (const struct tree_node *node = tree_next(root); node && r == 0;
	     node = tree_next(node)) {
		while (layout->here != node->parent && r == 0)
			r = leave_directory(layout, err);
		if (r < 0)
			return r;
		r = lay_node(layout, node, err);
		if (r < 0)
			return at_path(node, r, err);
		/* The last report comes when the copying is done as well. */
		if (++done < layout->tree->n_nodes)
			report(layout, done);
	}
	while (layout->here != root && r == 0)
		r = leave_directory(layout, err);
	return r < 0 ? r
		     : at_path(root,
			       finish_file(layout, layout->descent.fd, false, root, err),
			       err);
}

static int check_empty(int dir_fd, struct cop_error *err)
{
	char **names = NULL;
	size_t n_names = 0;
	int r = fs_list(dir_fd, &names, &n_names, err);

	fs_list_free(names);
	if (r < 0)
		return r;
	return n_names > 0 ? err_set(err, -ENOTEMPTY, "the directory is not empty") : 0;
}

/* Default ACLs of the directory would be inherited by all that is made in it. */
static void drop_acls(int dir_fd)
{
	(void)fremovexattr(dir_fd, "system.posix_acl_default");
	(void)fremovexattr(dir_fd, "system.posix_acl_access");
}

int layout_fill(struct cop_store *store, const struct tree *tree, int dir_fd,
		enum attributes_mode mode, const struct cop_progress *progress,
		struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_copy_job, .drop = drop_copy_job};
	cleanup_with(layout_done) struct layout layout = {
		.store = store,
		.tree = tree,
		.root_fd = dir_fd,
		.mode = mode,
		.progress = progress,
		.descent.fd = -EBADF,
		.link_dir_fd = -EBADF,
	};
	struct cop_error first = {};
	int r, worker_r;

	r = check_empty(dir_fd, err);
	if (r < 0)
		return r;
	drop_acls(dir_fd);
	layout.made_as = calloc(tree->n_nodes, sizeof(struct tree_node *));
	if (!layout.made_as)
		return err_oom(err);
	r = descent_begin(&layout.descent, dir_fd);
	if (r < 0)
		return err_code(err, r, "open directory");
	r = work_new(&ops, &layout, N_COPIERS, &layout.work, err);
	if (r < 0)
		return r;
	r = lay_tree(&layout, &first);
	worker_r = work_finish(layout.work, err);
	/* When a worker failed, our own failure is only its echo. */
	if (worker_r < 0)
		return worker_r;
	if (r < 0)
		return err_copy(err, &first);
	report(&layout, tree->n_nodes);
	return 0;
}

int view_export(struct cop_store *store, const struct tree *tree, int dir_fd,
		const struct cop_progress *progress, struct cop_error *err)
{
	int r = layout_fill(store, tree, dir_fd, ATTRIBUTES_STRICT, progress, err);

	return r < 0 ? err_prefix(err, r, "export") : 0;
}
