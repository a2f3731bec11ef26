/* SPDX-License-Identifier: Apache-2.0 */
/* `sbom`: which packages are in a tree. */
#include <string.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "recipe/sbom.h"
#include "store/object.h"
#include "tree/resolve.h"
#include "json/json.h"

#define TEXT_MAX ((uint64_t)(256 * MIB))

struct source {
	struct cli *cli;
	struct tree *tree;
};

static int read_file(const struct source *source, const char *path, struct buf *text,
		     struct cop_error *err)
{
	const struct tree_node *node = NULL;
	auto_close int fd = -EBADF;
	int r = tree_resolve(source->tree, path, true, &node, err);

	if (r < 0)
		return r;
	node = tree_inode(node);
	if (!S_ISREG(node->mode))
		return err_set(err, -ENOENT, "'%s' is no regular file", path);
	if (node->content)
		return buf_append(text, node->content, node->size) < 0 ? err_oom(err) : 0;
	if (node->size == 0)
		return 0;
	fd = pool_open_file(source->cli->store, node->digest, node->size, err);
	return fd < 0 ? fd : fs_read_all(fd, TEXT_MAX, text, err);
}

static int read_copyright(void *data, const char *package, struct buf *text,
			  struct cop_error *err)
{
	auto_buf path = {};
	int r;

	if (buf_printf(&path, "usr/share/doc/%s/copyright", package) < 0)
		return err_oom(err);
	r = read_file(data, path.data, text, err);
	/* A link to nowhere is as good as no file. */
	return r == -ELOOP || r == -ENOTDIR ? -ENOENT : r;
}

static int64_t newest_time(const struct tree *tree)
{
	int64_t newest = 0;

	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link && node->mtime_sec > newest)
			newest = node->mtime_sec;
	return newest;
}

static int make(const struct source *source, const struct cop_digest *digest,
		const char *lock_name, struct cop_error *err)
{
	auto_buf status = {}, release = {};
	char hex[COP_DIGEST_HEX + 1];
	auto_ptr(lock) lock = NULL;
	auto_json *json = NULL;
	struct cop_error none = {};
	int r = read_file(source, "var/lib/dpkg/status", &status, err);

	if (r == -ENOENT)
		return err_set(err, r,
			       "the tree has no packages: it lacks "
			       "'var/lib/dpkg/status'");
	if (r == 0 && lock_name)
		r = cli_invalid(lock_load(lock_name, &lock, err));
	if (r < 0)
		return r;
	r = read_file(source, "etc/os-release", &release, &none);
	if (r < 0 && r != -ENOENT)
		return err_copy(err, &none);
	r = sbom_make(
		&(struct sbom_tree){
			.digest = cop_digest_to_hex(digest, hex),
			.created = newest_time(source->tree),
			.status = buf_text(&status),
			.os_release = buf_text(&release),
			.lock = lock,
			.copyright = read_copyright,
			.data = (void *)(uintptr_t)source,
		},
		&json, err);
	return r < 0 ? r : cli_print_json(json, err);
}

static int run_sbom(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	struct cop_digest digest;
	int r;

	(void)argc;
	r = cli_get_tree(cli, argv[0], &digest, &tree, err);
	if (r < 0)
		return r;
	r = make(&(struct source){cli, tree}, &digest, cli->options[0], err);
	return r < 0 ? err_prefix(err, r, "sbom %s", argv[0]) : 0;
}

const struct verb verb_sbom = {
	.name = "sbom",
	.arguments = "TREE",
	.help = "List the packages of a tree as SPDX 2.3, in JSON",
	.details =
		"From the tree's own dpkg database: name, version, architecture, maintainer, and the\n"
		"license where the copyright file names a single one.  With a lock, checksums of the\n"
		"packages, too.  The same tree gives the same document.",
	.options = {{"lock", 0, "FILE", "RECIPE.lock, for checksums", false}},
	.min_args = 1,
	.max_args = 1,
	.run = run_sbom,
};
