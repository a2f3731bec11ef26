/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline's tree into OUTPUT/NAME.  It is laid out beside its place and then takes it
 * in one step.  An earlier export is replaced; a directory that we did not make is not:
 * which are ours is written in OUTPUT/.coppice-exports.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "engine/run.h"
#include "store/object.h"
#include "store/verify.h"
#include "view/attributes.h"
#include "view/view.h"

#define LIST	  ".coppice-exports"
#define LIST_SIZE (1 * MIB)

static int open_output(const char *path, struct cop_error *err)
{
	int fd;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, "make '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "open '%s'", path) : fd;
}

/* 1 when @list has the line @name. */
static bool list_has(const struct buf *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = buf_text(list); *line;) {
		size_t size = strcspn(line, "\n");

		if (size == length && memcmp(line, name, size) == 0)
			return true;
		line += size;
		line += *line == '\n';
	}
	return false;
}

static int read_list(int output_fd, struct buf *list, struct cop_error *err)
{
	int r = fs_read_file(output_fd, LIST, LIST_SIZE, list, err);

	return r == -ENOENT ? 0 : r;
}

static int add_to_list(int output_fd, struct buf *list, const char *name,
		       struct cop_error *err)
{
	if (list_has(list, name))
		return 0;
	if (buf_printf(list, "%s\n", name) < 0)
		return err_oom(err);
	return fs_replace_at(output_fd, LIST, list->data, list->size, 0644, err);
}

static bool is_empty(int output_fd, const char *name)
{
	auto_close int fd =
		openat(output_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char **names = NULL;
	size_t n = 1;

	if (fd < 0 || fs_list(fd, &names, &n, NULL) < 0)
		return false;
	(void)fs_list_free(names);
	return n == 0;
}

/* 0: free; 1: something of ours is to be replaced. */
static int look_at_place(int output_fd, const char *name, const struct buf *list,
			 struct cop_error *err)
{
	struct stat st;

	if (fstatat(output_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_errno(err, "look at '%s'", name);
	if (list_has(list, name) || is_empty(output_fd, name))
		return 1;
	return err_set(err, -EEXIST,
		       "'%s' exists and is no earlier export: remove it or choose "
		       "another output directory",
		       name);
}

/* The committed tree, which exports are made from; an uncommitted one is stored without a
 * name first. */
static int get_tree(struct run *run, struct run_pipeline *pipeline,
		    struct tree **ret_tree, struct cop_error *err)
{
	const struct object_commit_options options = {
		.class = REF_STAGE,
		.progress = run->monitor->progress,
	};
	struct cop_digest digest = pipeline->digest;
	int r = 0;

	if (cop_digest_is_null(&digest))
		r = object_commit_as(pipeline->object, &options, &digest, err);
	if (r == 0)
		r = object_verify(run->store, &digest, run->monitor->progress, err);
	return r < 0 ? r : object_read_tree(run->store, &digest, ret_tree, err);
}

static int lay_out(struct run *run, const struct tree *tree, int output_fd,
		   const char *temporary, struct cop_error *err)
{
	auto_close int fd = -EBADF;

	if (mkdirat(output_fd, temporary, 0700) < 0)
		return err_errno(err, "make '%s'", temporary);
	fd = openat(output_fd, temporary,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "open '%s'", temporary);
	return view_export(run->store, tree, fd, run->monitor->progress, err);
}

/*
 * What @node has goes from @from to @to, over what is there; what else is there stays.
 * Directories that are there take the attributes of the new ones, as cp -a does it.
 */
static int merge_directory(const struct tree_node *node, int from, int to,
			   struct cop_error *err)
{
	for (uint32_t i = 0; i < node->n_children; i++) {
		const struct tree_node *child = node->children[i];
		auto_close int below_from = -EBADF, below_to = -EBADF;
		int r;

		if (S_ISDIR(child->mode))
			below_to =
				openat(to, child->name,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below_to < 0) {
			if (renameat(from, child->name, to, child->name) < 0)
				return err_errno(err, "put '%s' in its place",
						 child->name);
			continue;
		}
		below_from = openat(from, child->name,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below_from < 0)
			return err_errno(err, "open '%s'", child->name);
		r = merge_directory(child, below_from, below_to, err);
		if (r < 0)
			return err_prefix(err, r, "'%s'", child->name);
	}
	return attributes_apply(to, false, node, ATTRIBUTES_STRICT, err);
}

/* osbuild copies into a directory of any content. */
static int merge(const struct tree *tree, int output_fd, const char *temporary,
		 const char *name, struct cop_error *err)
{
	auto_close int from = -EBADF, to = -EBADF;
	int r;

	if (renameat2(output_fd, temporary, output_fd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EEXIST)
		return err_errno(err, "put '%s' in its place", name);
	from = openat(output_fd, temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = openat(output_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0)
		return err_errno(err, "open '%s'", name);
	r = merge_directory(tree->root, from, to, err);
	return r < 0 ? r : fs_remove_all(output_fd, temporary, true, err);
}

static void give_to_caller(struct tree *tree)
{
	for (struct tree_node *node = tree->root; node; node = tree_next(node)) {
		node->uid = geteuid();
		node->gid = getegid();
	}
}

static int publish(int output_fd, const char *temporary, const char *name, bool replace,
		   struct cop_error *err)
{
	if (renameat2(output_fd, temporary, output_fd, name,
		      replace ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0)
		return err_errno(err, "put '%s' in its place", name);
	/* Now the temporary name is the earlier export's. */
	return replace ? fs_remove_all(output_fd, temporary, true, err) : 0;
}

static int export_to(struct run *run, struct run_pipeline *pipeline, const char *name,
		     int output_fd, struct cop_error *err)
{
	bool merges = run->options->as_osbuild;
	char temporary[FS_TEMPORARY_NAME];
	auto_ptr(tree) tree = NULL;
	auto_buf list = {};
	int r = merges ? 0 : read_list(output_fd, &list, err), replace;

	if (r < 0)
		return r;
	replace = merges ? 0 : look_at_place(output_fd, name, &list, err);
	if (replace < 0)
		return replace;
	r = get_tree(run, pipeline, &tree, err);
	if (r < 0)
		return r;
	if (run->options->export_as_caller)
		give_to_caller(tree);
	fs_temporary_name(temporary);
	r = lay_out(run, tree, output_fd, temporary, err);
	if (r == 0 && merges)
		r = merge(tree, output_fd, temporary, name, err);
	/* Listed before it is there: between the two, nobody takes it for a stranger. */
	if (r == 0 && !merges)
		r = add_to_list(output_fd, &list, name, err);
	if (r == 0 && !merges)
		r = publish(output_fd, temporary, name, replace, err);
	if (r < 0)
		(void)fs_remove_all(output_fd, temporary, true, NULL);
	return r;
}

int run_export(struct run *run, const struct manifest_pipeline *asked, const char *name,
	       struct cop_error *err)
{
	const char *directory = run->options->output_directory;
	auto_close int output_fd = -EBADF;
	int r;

	if (!*name || *name == '.' || strchr(name, '/') || strchr(name, '\n') ||
	    strlen(name) > 200)
		return err_set(err, -EINVAL,
			       "export '%s': the name cannot be that of a directory",
			       name);
	output_fd = open_output(directory, err);
	r = output_fd < 0
		    ? output_fd
		    : export_to(run, run_maker_of(run, asked), name, output_fd, err);
	return r < 0 ? err_prefix(err, r, "export '%s' to '%s'", name, directory) : 0;
}
