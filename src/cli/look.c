/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that look inside a tree; none needs a mount. */
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/fs.h"
#include "cli/cli.h"
#include "digest/verity.h"
#include "store/object.h"
#include "tree/diff.h"
#include "tree/dump.h"
#include "tree/resolve.h"
#include "json/json.h"

static char type_letter(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	default:
		return '-';
	}
}

static void format_mode(uint32_t mode, char text[11])
{
	static const char letters[] = "rwxrwxrwx";

	text[0] = type_letter(mode);
	for (int i = 0; i < 9; i++)
		text[1 + i] = mode & (0400u >> i) ? letters[i] : '-';
	if (mode & S_ISUID)
		text[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & S_IXOTH ? 't' : 'T';
	text[10] = '\0';
}

static void format_time(int64_t seconds, char *text, size_t size)
{
	time_t value = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&value, &tm) || strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(text, size, "%lld", (long long)seconds);
}

/* Names are bytes: on a terminal what is not printable must not reach it as it is. */
static void print_name(const char *name)
{
	bool raw = !isatty(STDOUT_FILENO);

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (raw || (c >= 0x20 && c != 0x7f))
			(void)putchar(c);
		else
			(void)printf("\\x%02x", c);
	}
}

static void print_long(const struct tree_node *node)
{
	const struct tree_node *inode = tree_inode(node);
	char mode[11], when[64], size[32];

	format_mode(inode->mode, mode);
	format_time(inode->mtime_sec, when, sizeof(when));
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		dev_t dev = tree_rdev_to_dev(inode->rdev);

		(void)snprintf(size, sizeof(size), "%u,%u", major(dev), minor(dev));
	} else {
		uint64_t bytes =
			S_ISLNK(inode->mode) ? strlen(inode->target) : inode->size;

		(void)snprintf(size, sizeof(size), "%llu",
			       S_ISDIR(inode->mode) ? 0ULL : (unsigned long long)bytes);
	}
	(void)printf("%s %3u %5u %5u %12s %s ", mode, inode->nlink, inode->uid,
		     inode->gid, size, when);
}

static json_t *node_json(const struct tree_node *node, const char *path)
{
	const struct tree_node *inode = tree_inode(node);
	char type[2] = {type_letter(inode->mode), '\0'};
	char hex[COP_DIGEST_HEX + 1] = "";
	json_t *json;

	json = json_pack("{s:s%, s:s, s:i, s:I, s:I, s:I, s:I, s:I}", "path", path,
			 strlen(path), "type", type, "mode", (int)(inode->mode & 07777),
			 "uid", (json_int_t)inode->uid, "gid", (json_int_t)inode->gid,
			 "size", (json_int_t)inode->size, "mtime",
			 (json_int_t)inode->mtime_sec, "mtime-nsec",
			 (json_int_t)inode->mtime_nsec);
	if (json && inode->target)
		(void)json_object_set_new(json, "target", json_string(inode->target));
	if (json && inode->digest)
		(void)json_object_set_new(
			json, "digest",
			json_string(cop_digest_to_hex(inode->digest, hex)));
	return json;
}

struct list {
	struct cli *cli;
	bool is_long;
	json_t *json;
};

static int list_node(struct list *list, const struct tree_node *node, const char *name,
		     struct cop_error *err)
{
	const struct tree_node *inode = tree_inode(node);

	if (list->json) {
		json_t *json = node_json(node, name);

		if (!json)
			return err_set(
				err, -EILSEQ,
				"'%s': a name that is not UTF-8 has no form in JSON; "
				"use dump",
				name);
		return json_array_append_new(list->json, json) < 0 ? err_oom(err) : 0;
	}
	if (list->is_long)
		print_long(node);
	print_name(name);
	if (list->is_long && inode->target) {
		(void)fputs(" -> ", stdout);
		print_name(inode->target);
	}
	(void)putchar('\n');
	return 0;
}

static int list_below(struct list *list, const struct tree_node *top,
		      struct cop_error *err)
{
	const struct tree_node *end = top;
	int r = 0;

	/* The first node in order that is not below @top. */
	while (end->parent && end == end->parent->children[end->parent->n_children - 1])
		end = end->parent;
	for (const struct tree_node *node = tree_next(top); node && r == 0;
	     node = tree_next(node)) {
		const struct tree_node *above = node;
		auto_free char *path = NULL;

		while (above && above != top)
			above = above->parent;
		if (!above)
			break;
		path = tree_path(node);
		if (!path)
			return err_oom(err);
		r = list_node(list, node, path, err);
	}
	return r;
}

static int list(struct list *list, const struct tree_node *node, bool recursive,
		struct cop_error *err)
{
	int r = 0;

	if (!S_ISDIR(node->mode))
		return list_node(list, node, node->name, err);
	if (recursive)
		return list_below(list, node, err);
	for (uint32_t i = 0; i < node->n_children && r == 0; i++)
		r = list_node(list, node->children[i], node->children[i]->name, err);
	return r;
}

static int run_ls(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	struct list listing = {.cli = cli, .is_long = cli->options[0]};
	const struct tree_node *node;
	auto_ptr(tree) tree = NULL;
	auto_json *json = NULL;
	int r;

	r = cli_get_tree(cli, argv[0], NULL, &tree, err);
	if (r < 0)
		return r;
	r = tree_resolve(tree, argc > 1 ? argv[1] : "/", true, &node, err);
	if (r < 0)
		return err_prefix(err, r, "ls %s", argv[0]);
	if (cli->json)
		listing.json = json = json_array();
	r = list(&listing, node, cli->options[1], err);
	if (r < 0)
		return r;
	return json ? cli_print_json(json, err) : 0;
}

const struct verb verb_ls = {
	.name = "ls",
	.arguments = "TREE [PATH]",
	.help = "List a directory of a tree",
	.options = {{"long", 'l', NULL,
		     "mode, links, owner, group, size, time (UTC) and name", false},
		    {"recursive", 'R', NULL, "everything below, with whole paths",
		     false}},
	.min_args = 1,
	.max_args = 2,
	.run = run_ls,
};

static int write_out(int fd, struct cop_error *err)
{
	auto_free char *bytes = malloc(MIB);

	if (!bytes)
		return err_oom(err);
	for (;;) {
		ssize_t n = read(fd, bytes, MIB);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read");
		if (n == 0)
			return 0;
		if (fwrite(bytes, 1, (size_t)n, stdout) != (size_t)n)
			return err_errno(err, "write to standard output");
	}
}

/* Never wrong bytes in silence. */
static int check_content(struct cli *cli, int fd, const struct tree_node *node,
			 struct cop_error *err)
{
	struct cop_digest found;
	int r;

	if (cli->no_verify)
		return 0;
	r = verity_digest_fd(fd, node->size, 0, &found, err);
	if (r == -ESTALE || (r == 0 && !cop_digest_equal(&found, node->digest)))
		return err_set(err, -EUCLEAN,
			       "its content is damaged in the store: see 'coppice verify "
			       "--repair', or build or commit the tree again");
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind");
	return r;
}

static int run_cat(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	const struct tree_node *node;
	auto_ptr(tree) tree = NULL;
	auto_close int fd = -EBADF;
	int r;

	(void)argc;
	r = cli_get_tree(cli, argv[0], NULL, &tree, err);
	if (r < 0)
		return r;
	r = tree_resolve(tree, argv[1], true, &node, err);
	if (r < 0)
		return err_prefix(err, r, "cat %s", argv[0]);
	node = tree_inode(node);
	if (!S_ISREG(node->mode))
		return err_set(err, -EINVAL, "cat %s '%s': not a regular file", argv[0],
			       argv[1]);
	if (node->content)
		return fwrite(node->content, 1, node->size, stdout) == node->size
			       ? 0
			       : err_errno(err, "write to standard output");
	if (node->size == 0)
		return 0;
	fd = pool_open_file(cli->store, node->digest, node->size, err);
	r = fd < 0 ? fd : check_content(cli, fd, node, err);
	if (r < 0)
		return err_prefix(err, r, "cat %s '%s'", argv[0], argv[1]);
	return write_out(fd, err);
}

const struct verb verb_cat = {
	.name = "cat",
	.arguments = "TREE PATH",
	.help = "Print a file of a tree",
	.min_args = 2,
	.max_args = 2,
	.run = run_cat,
};

static int run_dump(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_ptr(tree) tree = NULL;
	auto_buf text = {};
	int r;

	(void)argc;
	r = cli_get_tree(cli, argv[0], NULL, &tree, err);
	if (r == 0)
		r = tree_to_dump(tree, &text, err);
	if (r < 0)
		return r;
	if (fwrite(buf_text(&text), 1, text.size, stdout) != text.size)
		return err_errno(err, "write to standard output");
	return 0;
}

const struct verb verb_dump = {
	.name = "dump",
	.arguments = "TREE",
	.help = "Print a tree as composefs dump text",
	.min_args = 1,
	.max_args = 1,
	.run = run_dump,
};

static const struct {
	unsigned int change;
	const char *name;
} change_names[] = {
	{TREE_TYPE, "type"},   {TREE_CONTENT, "content"}, {TREE_MODE, "mode"},
	{TREE_OWNER, "owner"}, {TREE_MTIME, "mtime"},	  {TREE_XATTR, "xattr"},
	{TREE_LINKS, "links"},
};

static char change_letter(unsigned int changes)
{
	if (changes & TREE_ADDED)
		return 'A';
	return changes & TREE_DELETED ? 'D' : 'M';
}

static int report_json(json_t *array, const char *path, unsigned int changes)
{
	char letter[2] = {change_letter(changes), '\0'};
	json_t *fields = json_array();
	json_t *entry = json_pack("{s:s, s:s, s:o}", "change", letter, "path", path,
				  "fields", fields);

	if (!entry)
		return -EILSEQ;
	for (size_t i = 0; i < ARRAY_SIZE(change_names); i++)
		if (changes & change_names[i].change)
			(void)json_array_append_new(fields,
						    json_string(change_names[i].name));
	return json_array_append_new(array, entry) < 0 ? -ENOMEM : 0;
}

static int report_change(void *data, const char *path, unsigned int changes,
			 const struct tree_node *in_a, const struct tree_node *in_b)
{
	const char *separator = "\t";

	(void)in_a;
	(void)in_b;
	if (data)
		return report_json(data, path, changes);
	(void)printf("%c\t", change_letter(changes));
	print_name(path);
	for (size_t i = 0; i < ARRAY_SIZE(change_names); i++) {
		if (!(changes & change_names[i].change))
			continue;
		(void)printf("%s%s", separator, change_names[i].name);
		separator = ",";
	}
	(void)putchar('\n');
	return 0;
}

static int run_diff(struct cli *cli, int argc, char **argv, struct cop_error *err)
{
	auto_ptr(tree) a = NULL;
	auto_ptr(tree) b = NULL;
	auto_json *json = NULL;
	int r;

	(void)argc;
	r = cli_get_tree(cli, argv[0], NULL, &a, err);
	if (r == 0)
		r = cli_get_tree(cli, argv[1], NULL, &b, err);
	if (r < 0)
		return r;
	if (cli->json)
		json = json_array();
	r = tree_diff(a, b, report_change, json, err);
	if (r == -EILSEQ)
		return err_set(err, r,
			       "diff: a name that is not UTF-8 has no form in JSON");
	if (r < 0)
		return r;
	return json ? cli_print_json(json, err) : 0;
}

const struct verb verb_diff = {
	.name = "diff",
	.arguments = "TREE TREE",
	.help = "What changed from one tree to another",
	.details =
		"One line per path: A (added), D (deleted) or M (modified) and, for M, what:\n"
		"content, mode, owner, mtime, xattr, type, links.",
	.min_args = 2,
	.max_args = 2,
	.run = run_diff,
};
