/* SPDX-License-Identifier: Apache-2.0 */
/* A directory on disk into the store, from scan to ref. */
#include <fcntl.h>

#include "store/private.h"

/* How often all is staged again because the pool lost a file meanwhile. */
#define TRIES 3

static int scan(struct staging *staging, int dir_fd,
		const struct commit_directory_options *options, struct tree **ret_tree,
		struct cop_error *err)
{
	struct tree_scan_options scan_options = *staging_scan_options(staging);
	struct cop_error scan_error = {}, stage_error = {};
	auto_ptr(tree) tree = NULL;
	int r, staged;

	scan_options.report = options->report;
	if (options->report)
		*options->report = (struct tree_scan_report){};
	r = tree_scan(dir_fd, &scan_options, &tree, &scan_error);
	staged = staging_finish(staging, &stage_error);
	if (options->totals)
		staging_totals(staging, options->totals);
	/* A failed file ends the scan too; its own words are the better ones. */
	if (staged < 0)
		return err_copy(err, &stage_error);
	if (r < 0)
		return err_copy(err, &scan_error);
	if (options->source_epoch >= 0)
		(void)tree_clamp(tree, options->source_epoch);
	r = tree_canonicalise(tree, err);
	if (r == 0)
		*ret_tree = TAKE_PTR(tree);
	return r;
}

static int only_digest(int dir_fd, const struct commit_directory_options *options,
		       struct cop_digest *ret_digest, struct cop_error *err)
{
	auto_ptr(staging) staging = NULL;
	auto_ptr(tree) tree = NULL;
	int r;

	r = staging_new(NULL, NULL, options->progress, &staging, err);
	if (r == 0)
		r = scan(staging, dir_fd, options, &tree, err);
	return r < 0 ? r : store_digest_tree(tree, ret_digest, err);
}

static int commit_once(struct cop_store *store, int dir_fd,
		       const struct commit_directory_options *options,
		       struct cop_digest *ret_digest, struct cop_error *err)
{
	auto_ptr(workdir) workdir = NULL;
	auto_ptr(staging) staging = NULL;
	auto_ptr(tree) tree = NULL;
	struct commit_request request;
	int r;

	r = workdir_new(store, "commit-", NULL, &workdir, err);
	if (r == 0)
		r = staging_new(store, workdir, options->progress, &staging, err);
	if (r == 0)
		r = scan(staging, dir_fd, options, &tree, err);
	if (r < 0)
		return r;
	request = (struct commit_request){
		.tree = tree,
		.workdir = workdir,
		.staging = staging,
		.class = options->class,
		.name = options->name,
		.meta = options->meta,
		.progress = options->progress,
	};
	return store_commit(store, &request, ret_digest, err);
}

/* What is scanned would grow while it is scanned. */
static int check_apart(const struct cop_store *store, int dir_fd, struct cop_error *err)
{
	auto_close int fd = openat(store->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat dir, here = {}, last;

	if (fd < 0 || fstat(dir_fd, &dir) < 0)
		return err_errno(err, "look at store '%s'", store->path);
	do {
		int parent;

		last = here;
		if (fstat(fd, &here) < 0)
			return err_errno(err, "look at what holds store '%s'",
					 store->path);
		if (here.st_dev == dir.st_dev && here.st_ino == dir.st_ino)
			return err_set(err, -EINVAL,
				       "the store '%s' itself lies in it; use a store "
				       "elsewhere",
				       store->path);
		parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0)
			return err_errno(err, "look at what holds store '%s'",
					 store->path);
		closep(&fd);
		fd = parent;
	} while (here.st_dev != last.st_dev || here.st_ino != last.st_ino);
	return 0;
}

int store_commit_directory(struct cop_store *store, int dir_fd,
			   const struct commit_directory_options *options,
			   struct cop_digest *ret_digest, struct cop_error *err)
{
	int r;

	if (options->only_digest)
		return only_digest(dir_fd, options, ret_digest, err);
	r = store_check_writable(store, err);
	/* Before the long work, not after it. */
	if (r == 0 && options->name)
		r = ref_check_name(options->class, options->name, err);
	if (r == 0)
		r = check_apart(store, dir_fd, err);
	if (r < 0)
		return r;
	for (int i = 0; i < TRIES; i++) {
		r = commit_once(store, dir_fd, options, ret_digest, err);
		if (r != -EAGAIN)
			break;
	}
	return r;
}
