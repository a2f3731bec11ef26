/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dump text -> a tree.  The text is trusted in nothing; every rule of composefs-dump(5)
 * is checked, and an error names the line.
 *
 * Directories are found by a table from their paths.  Links may stand before what they
 * link to, so they are nodes with their text in @target until all lines were read.
 */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"
#include "tree/dump.h"
#include "tree/private.h"

#define LARGEST_XATTR_TEXT 65535
#define LARGEST_PAYLOAD	   4095
#define SHOWN		   64 /* bytes of a bad field in a message */

enum field {
	PATH,
	SIZE,
	MODE,
	NLINK,
	UID,
	GID,
	RDEV,
	MTIME,
	PAYLOAD,
	CONTENT,
	DIGEST,
	N_FIELDS,
};

static const char *const field_names[] = {"path",    "size",	"mode",	 "nlink",
					  "uid",     "gid",	"rdev",	 "mtime",
					  "payload", "content", "digest"};

struct text {
	const char *data;
	size_t size;
};

struct pending {
	struct tree_node *node;
	uint32_t line;
};

struct parser {
	struct tree *tree;
	struct arena *arena;   /* paths, as long as we read */
	struct map *dirs;      /* path without final slash -> directory */
	struct buf links;      /* of struct pending */
	struct buf path;       /* of this line, unescaped */
	struct buf key, value; /* another field, unescaped */
	struct text fields[N_FIELDS];
	struct text xattrs;
	uint32_t line;
	bool is_link;
	uint32_t mode;
};

static void parser_done(struct parser *parser)
{
	arena_free(parser->arena);
	map_free(parser->dirs);
	buf_done(&parser->links);
	buf_done(&parser->path);
	buf_done(&parser->key);
	buf_done(&parser->value);
}

static int bad_field(const struct parser *parser, enum field field, const char *reason,
		     struct cop_error *err)
{
	const struct text *text = &parser->fields[field];

	return err_set(err, -EBADMSG, "%s '%.*s%s' %s", field_names[field],
		       (int)min_u64(text->size, SHOWN), text->data,
		       text->size > SHOWN ? "..." : "", reason);
}

/* Cut the next field off @rest; false at the end or where it would be empty. */
static bool next_field(struct text *rest, struct text *ret_field)
{
	const char *space;

	if (rest->size == 0)
		return false;
	space = memchr(rest->data, ' ', rest->size);
	ret_field->data = rest->data;
	ret_field->size = space ? (size_t)(space - rest->data) : rest->size;
	if (ret_field->size == 0)
		return false;
	rest->size -= ret_field->size + (space ? 1 : 0);
	rest->data += ret_field->size + (space ? 1 : 0);
	return true;
}

static int split_line(struct parser *parser, struct text line, struct cop_error *err)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.data[i] < ' ' || line.data[i] > '~')
			return err_set(err, -EBADMSG, "byte \\x%02x is not escaped",
				       (uint8_t)line.data[i]);
	if (line.size > 0 && line.data[line.size - 1] == ' ')
		return err_set(err, -EBADMSG, "a space at the end");
	for (unsigned int i = 0; i < N_FIELDS; i++)
		if (!next_field(&line, &parser->fields[i]))
			return err_set(err, -EBADMSG, "%s is missing", field_names[i]);
	parser->xattrs = line;
	if (line.size > LARGEST_XATTR_TEXT)
		return err_set(err, -EBADMSG,
			       "%zu bytes of xattrs, at most %d are allowed", line.size,
			       LARGEST_XATTR_TEXT);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte that @text, which is behind a backslash, stands for; negative: none. */
static int escaped_byte(const char *text, size_t size, size_t *ret_used)
{
	*ret_used = 1;
	if (size == 0)
		return -1;
	switch (text[0]) {
	case '\\':
		return '\\';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'x':
		if (size < 3 || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0)
			return -1;
		*ret_used = 3;
		return hex_digit(text[1]) << 4 | hex_digit(text[2]);
	default:
		return -1;
	}
}

/* Into @buf, anew. */
static int unescape(const struct text *text, struct buf *buf, struct cop_error *err)
{
	buf_truncate(buf, 0);
	if (buf_reserve(buf, text->size) < 0)
		return err_oom(err);
	for (size_t i = 0, used; i < text->size; i += used) {
		int byte = (uint8_t)text->data[i];

		used = 1;
		if (byte == '\\') {
			byte = escaped_byte(text->data + i + 1, text->size - i - 1,
					    &used);
			used++;
		}
		if (byte < 0)
			return err_set(err, -EBADMSG, "'%.*s' is not an escape",
				       (int)min_u64(text->size - i, 4), text->data + i);
		buf->data[buf->size++] = (char)byte;
	}
	buf->data[buf->size] = '\0';
	return 0;
}

static bool is_unset(const struct text *text)
{
	return text->size == 1 && text->data[0] == '-';
}

/* A field as a string without NUL of at most @limit bytes, into the buffer @value. */
static int parse_string(struct parser *parser, enum field field, size_t limit,
			struct cop_error *err)
{
	int r = unescape(&parser->fields[field], &parser->value, err);

	if (r < 0)
		return r;
	if (parser->value.size > limit)
		return bad_field(parser, field, "is too long", err);
	if (memchr(parser->value.data, '\0', parser->value.size))
		return bad_field(parser, field, "holds a NUL", err);
	return 0;
}

static int parse_number(const struct text *text, uint64_t *ret_value)
{
	char copy[24];

	if (text->size >= sizeof(copy))
		return -ERANGE;
	memcpy(copy, text->data, text->size);
	copy[text->size] = '\0';
	return text_to_u64(copy, ret_value);
}

static int parse_u32(const struct parser *parser, enum field field, uint32_t *ret_value,
		     struct cop_error *err)
{
	uint64_t value;
	int r = parse_number(&parser->fields[field], &value);

	if (r < 0 || value > UINT32_MAX)
		return bad_field(parser, field, "is not a number of 32 bits", err);
	*ret_value = (uint32_t)value;
	return 0;
}

static int parse_mtime(const struct parser *parser, struct tree_node *node,
		       struct cop_error *err)
{
	struct text text = parser->fields[MTIME], part;
	bool negative = text.data[0] == '-';
	const char *dot = memchr(text.data, '.', text.size);
	uint64_t sec = 0, nsec = 0;

	if (!dot)
		return bad_field(parser, MTIME, "is not SECONDS.NANOSECONDS", err);
	part.data = text.data + negative;
	part.size = (size_t)(dot - part.data);
	if (dot < part.data || parse_number(&part, &sec) < 0 ||
	    sec > (uint64_t)INT64_MAX + negative)
		return bad_field(parser, MTIME, "is not SECONDS.NANOSECONDS", err);
	part.data = dot + 1;
	part.size = (size_t)(text.data + text.size - part.data);
	if (parse_number(&part, &nsec) < 0 || nsec > UINT32_MAX)
		return bad_field(parser, MTIME, "is not SECONDS.NANOSECONDS", err);
	node->mtime_sec = negative ? (int64_t)(0 - sec) : (int64_t)sec;
	node->mtime_nsec = (uint32_t)nsec;
	return 0;
}

static int parse_mode(struct parser *parser, struct cop_error *err)
{
	struct text text = parser->fields[MODE];
	uint32_t mode = 0;

	parser->is_link = text.data[0] == '@';
	if (parser->is_link) {
		text.data++;
		text.size--;
	}
	if (text.size == 0 || text.size > 7)
		return bad_field(parser, MODE, "is not a mode", err);
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '0' || text.data[i] > '7')
			return bad_field(parser, MODE, "is not a mode", err);
		mode = mode << 3 | (uint32_t)(text.data[i] - '0');
	}
	if (!tree_mode_is_valid(mode))
		return bad_field(parser, MODE, "has no type of file that exists", err);
	if (parser->is_link && S_ISDIR(mode))
		return bad_field(parser, MODE, "would link to a directory", err);
	parser->mode = mode;
	return 0;
}

static int parse_content(struct parser *parser, struct tree_node *node,
			 struct cop_error *err)
{
	int r = unescape(&parser->fields[CONTENT], &parser->value, err);

	if (r < 0)
		return r;
	if (parser->value.size != node->size)
		return err_set(err, -EBADMSG, "content has %zu bytes, size says %llu",
			       parser->value.size, (unsigned long long)node->size);
	if (parser->value.size > TREE_CONTENT_MAX)
		return err_set(err, -EBADMSG,
			       "content of %zu bytes, at most %d are allowed",
			       parser->value.size, TREE_CONTENT_MAX);
	return tree_set_content(parser->tree, node, parser->value.data,
				parser->value.size, err);
}

static int parse_digest(struct parser *parser, struct tree_node *node,
			struct cop_error *err)
{
	const struct text *text = &parser->fields[DIGEST];
	char hex[COP_DIGEST_HEX + 1];
	struct cop_digest *digest;

	digest = arena_alloc(parser->tree->arena, sizeof(*digest));
	if (!digest)
		return err_oom(err);
	if (text->size != COP_DIGEST_HEX)
		return bad_field(parser, DIGEST, "has not 64 digits", err);
	memcpy(hex, text->data, COP_DIGEST_HEX);
	hex[COP_DIGEST_HEX] = '\0';
	if (hex_decode(hex, digest->bytes, COP_DIGEST_SIZE) < 0)
		return bad_field(parser, DIGEST, "is not hexadecimal", err);
	node->digest = digest;
	if (node->payload &&
	    tree_payload_is(node->payload, strlen(node->payload), digest)) {
		node->payload = NULL;
		node->payload_follows = true;
	}
	return 0;
}

static int parse_regular(struct parser *parser, struct tree_node *node,
			 struct cop_error *err)
{
	int r;

	if (!is_unset(&parser->fields[CONTENT])) {
		r = parse_content(parser, node, err);
		if (r < 0)
			return r;
	}
	if (!is_unset(&parser->fields[PAYLOAD])) {
		r = parse_string(parser, PAYLOAD, LARGEST_PAYLOAD, err);
		if (r < 0)
			return r;
		node->payload = arena_memdup(parser->tree->arena, parser->value.data,
					     parser->value.size);
		if (!node->payload)
			return err_oom(err);
	}
	return is_unset(&parser->fields[DIGEST]) ? 0 : parse_digest(parser, node, err);
}

static int parse_symlink(struct parser *parser, struct tree_node *node,
			 struct cop_error *err)
{
	int r;

	if (is_unset(&parser->fields[PAYLOAD]))
		return err_set(err, -EBADMSG, "a symlink needs a payload");
	r = parse_string(parser, PAYLOAD, TREE_SYMLINK_MAX, err);
	if (r < 0)
		return r;
	return tree_set_target(parser->tree, node, parser->value.data, parser->value.size,
			       err);
}

static int parse_data(struct parser *parser, struct tree_node *node,
		      struct cop_error *err)
{
	if (S_ISREG(node->mode))
		return parse_regular(parser, node, err);
	if (!is_unset(&parser->fields[CONTENT]))
		return bad_field(parser, CONTENT, "is only for regular files", err);
	if (!is_unset(&parser->fields[DIGEST]))
		return bad_field(parser, DIGEST, "is only for regular files", err);
	if (S_ISLNK(node->mode))
		return parse_symlink(parser, node, err);
	if (!is_unset(&parser->fields[PAYLOAD]))
		return bad_field(parser, PAYLOAD, "is only for files and links", err);
	return 0;
}

static int parse_xattrs(struct parser *parser, struct tree_node *node,
			struct cop_error *err)
{
	struct text rest = parser->xattrs, field;

	while (next_field(&rest, &field)) {
		const char *equal = memchr(field.data, '=', field.size);
		struct text key, value;
		int r;

		if (!equal)
			return err_set(err, -EBADMSG, "xattr '%.*s' has no '='",
				       (int)min_u64(field.size, SHOWN), field.data);
		key = (struct text){field.data, (size_t)(equal - field.data)};
		value = (struct text){equal + 1, field.size - key.size - 1};
		r = unescape(&key, &parser->key, err);
		if (r == 0)
			r = unescape(&value, &parser->value, err);
		if (r < 0)
			return r;
		if (strlen(buf_text(&parser->key)) != parser->key.size)
			return err_set(err, -EBADMSG, "an xattr key holds a NUL");
		r = tree_set_xattr(parser->tree, node, buf_text(&parser->key),
				   parser->value.data, parser->value.size, err);
		if (r < 0)
			return r;
	}
	if (rest.size > 0)
		return err_set(err, -EBADMSG, "two spaces in a row");
	return tree_check_xattrs(node, err);
}

static int parse_inode(struct parser *parser, struct tree_node *node,
		       struct cop_error *err)
{
	int r;

	if (parse_number(&parser->fields[SIZE], &node->size) < 0)
		return bad_field(parser, SIZE, "is not a number of 64 bits", err);
	node->mode = parser->mode;
	r = parse_u32(parser, NLINK, &node->nlink, err);
	if (r == 0)
		r = parse_u32(parser, UID, &node->uid, err);
	if (r == 0)
		r = parse_u32(parser, GID, &node->gid, err);
	if (r == 0)
		r = parse_u32(parser, RDEV, &node->rdev, err);
	if (r == 0)
		r = parse_mtime(parser, node, err);
	if (r == 0)
		r = parse_data(parser, node, err);
	return r < 0 ? r : parse_xattrs(parser, node, err);
}

static int parse_link(struct parser *parser, struct tree_node *node,
		      struct cop_error *err)
{
	struct pending pending = {.node = node, .line = parser->line};
	int r;

	if (is_unset(&parser->fields[PAYLOAD]))
		return err_set(err, -EBADMSG, "a hard link needs a payload");
	r = parse_string(parser, PAYLOAD, SIZE_MAX, err);
	if (r < 0)
		return r;
	if (parser->value.data[0] != '/')
		return bad_field(parser, PAYLOAD, "does not begin with '/'", err);
	node->target =
		arena_memdup(parser->arena, parser->value.data, parser->value.size);
	if (!node->target || buf_append(&parser->links, &pending, sizeof(pending)) < 0)
		return err_oom(err);
	return 0;
}

static int remember_dir(struct parser *parser, struct tree_node *dir,
			struct cop_error *err)
{
	size_t size = parser->path.size > 1 ? parser->path.size : 0;
	const char *path = arena_memdup(parser->arena, parser->path.data, size);
	void **slot = path ? map_slot(parser->dirs, path, size) : NULL;

	if (!slot)
		return err_oom(err);
	/* A second line of this name is refused at the end, whatever stands below it. */
	if (!*slot)
		*slot = dir;
	return 0;
}

static int parse_root(struct parser *parser, struct cop_error *err)
{
	if (parser->line != 1)
		return err_set(err, -EBADMSG, "'/' is there twice");
	if (parser->is_link || !S_ISDIR(parser->mode))
		return err_set(err, -EBADMSG, "'/' is not a directory");
	return parse_inode(parser, parser->tree->root, err);
}

/* Make the node that the line is about, where its parent is known already. */
static int add_entry(struct parser *parser, struct tree_node **ret_node,
		     struct cop_error *err)
{
	const char *path = parser->path.data;
	const char *slash = memrchr(path, '/', parser->path.size);
	struct tree_node *parent;
	unsigned int depth = 0;
	int r;

	if (parser->line == 1)
		return bad_field(parser, PATH, "is not '/', which must come first", err);
	if (path[0] != '/' || !slash)
		return bad_field(parser, PATH, "does not begin with '/'", err);
	for (size_t i = 0; i < parser->path.size; i++)
		depth += path[i] == '/';
	if (depth > TREE_DEPTH_MAX)
		return bad_field(parser, PATH, "is too deep", err);
	parent = map_get(parser->dirs, path, (size_t)(slash - path));
	if (!parent)
		return bad_field(parser, PATH, "comes before its directory", err);
	r = tree_add(parser->tree, parent, slash + 1,
		     (size_t)(path + parser->path.size - slash - 1),
		     parser->is_link ? S_IFREG : parser->mode, ret_node, err);
	if (r < 0)
		return r;
	(*ret_node)->index = parser->line;
	return 0;
}

static int parse_line(struct parser *parser, struct text line, struct cop_error *err)
{
	struct tree_node *node = parser->tree->root;
	bool is_root;
	int r;

	r = split_line(parser, line, err);
	if (r == 0)
		r = unescape(&parser->fields[PATH], &parser->path, err);
	if (r == 0)
		r = parse_mode(parser, err);
	if (r < 0)
		return r;
	is_root = parser->path.size == 1 && parser->path.data[0] == '/';
	r = is_root ? parse_root(parser, err) : add_entry(parser, &node, err);
	if (r < 0)
		return r;
	if (!is_root)
		r = parser->is_link ? parse_link(parser, node, err)
				    : parse_inode(parser, node, err);
	if (r < 0)
		return r;
	return !parser->is_link && S_ISDIR(parser->mode) ? remember_dir(parser, node, err)
							 : 0;
}

static int at_line(int r, uint32_t line, struct cop_error *err)
{
	if (r == -ENOMEM)
		return r;
	return err_prefix(err, -EBADMSG, "dump: line %u", line);
}

static bool is_pending(const struct tree_node *node)
{
	return S_ISREG(node->mode) && node->target;
}

static void settle_link(struct tree_node *node, struct tree_node *inode)
{
	node->link = inode;
	node->target = NULL;
	node->mode = 0;
	node->nlink = 0;
}

/* All links of a chain are settled at once, so that long chains cost no more than short
 * ones. */
static int resolve_link(const struct tree *tree, struct tree_node *first, size_t n_links,
			struct cop_error *err)
{
	struct tree_node *inode = first;

	for (size_t n = 0; is_pending(inode); n++) {
		const char *target = inode->target;

		if (n > n_links)
			return err_set(err, -EBADMSG, "hard links in a circle");
		inode = tree_find(tree, target);
		if (!inode)
			return err_set(err, -EBADMSG,
				       "hard link to '%.*s', which is not there", SHOWN,
				       target);
		if (inode->link)
			inode = inode->link;
	}
	if (S_ISDIR(inode->mode))
		return err_set(err, -EBADMSG, "hard link to a directory");
	while (is_pending(first)) {
		struct tree_node *next = tree_find(tree, first->target);

		settle_link(first, inode);
		first = next;
	}
	return 0;
}

static int resolve_links(struct parser *parser, struct cop_error *err)
{
	const struct pending *links = (const void *)parser->links.data;
	size_t n_links = parser->links.size / sizeof(*links);

	for (size_t i = 0; i < n_links; i++) {
		int r = resolve_link(parser->tree, links[i].node, n_links, err);

		if (r < 0)
			return at_line(r, links[i].line, err);
	}
	return 0;
}

static int parse_all(struct parser *parser, struct text text, struct cop_error *err)
{
	const struct tree_node *later = NULL;
	int r;

	if (text.size == 0)
		return err_set(err, -EBADMSG, "dump: it is empty");
	while (text.size > 0) {
		const char *end = memchr(text.data, '\n', text.size);
		struct text line = {text.data,
				    end ? (size_t)(end - text.data) : text.size};
		size_t used = line.size + (end ? 1 : 0);

		if (parser->line == UINT32_MAX - 1)
			return err_set(err, -EFBIG, "dump: too many lines");
		parser->line++;
		r = parse_line(parser, line, err);
		if (r < 0)
			return at_line(r, parser->line, err);
		text.data += used;
		text.size -= used;
	}
	r = tree_order(parser->tree, &later, false, err);
	if (r < 0)
		return at_line(r, later ? later->index : parser->line, err);
	r = resolve_links(parser, err);
	return r < 0 ? r : tree_number(parser->tree, err);
}

int tree_from_dump(const char *text, size_t size, struct tree **ret_tree,
		   struct cop_error *err)
{
	auto_ptr(tree) tree = tree_new(err);
	cleanup_with(parser_done) struct parser parser = {.tree = tree};
	int r;

	if (!tree)
		return -ENOMEM;
	parser.arena = arena_new();
	parser.dirs = map_new();
	if (!parser.arena || !parser.dirs)
		return err_oom(err);
	r = parse_all(&parser, (struct text){text, size}, err);
	if (r < 0)
		return r;
	*ret_tree = TAKE_PTR(tree);
	return 0;
}
