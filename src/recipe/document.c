/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libyaml's events to nodes.  The input is untrusted: its size is limited, and so is
 * the depth, before anything recurses; nothing is ever expanded (no aliases).
 */
#include "recipe/document.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "base/arena.h"
#include "base/map.h"

struct document {
	struct arena *arena;
	struct node *root;
};

struct reader {
	const char *name;
	const char *text;
	size_t size;
	yaml_parser_t parser;
	struct arena *arena;
};

struct document *document_free(struct document *document)
{
	if (!document)
		return NULL;
	arena_free(document->arena);
	free(document);
	return NULL;
}

const struct node *document_root(const struct document *document)
{
	return document->root;
}

static int refuse(const struct reader *reader, const yaml_mark_t *mark,
		  struct cop_error *err, const char *reason, const char *name)
{
	(void)err_set(err, -EINVAL, "%s:%zu:%zu: %s%s%s%s", reader->name, mark->line + 1,
		      mark->column + 1, reason, name ? " '" : "", name ? name : "",
		      name ? "'" : "");
	return -EINVAL;
}

/* What libyaml could not even decode has an offset instead of a place. */
static yaml_mark_t place_of_offset(const struct reader *reader, size_t offset)
{
	yaml_mark_t mark = {};

	for (size_t i = 0; i < offset && i < reader->size; i++) {
		unsigned char c = (unsigned char)reader->text[i];

		if (c == '\n') {
			mark.line++;
			mark.column = 0;
		} else if ((c & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

static int parser_error(const struct reader *reader, struct cop_error *err)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "not YAML";
	yaml_mark_t mark = parser->problem_mark;

	if (parser->error == YAML_MEMORY_ERROR)
		return err_oom(err);
	if (parser->error == YAML_READER_ERROR)
		mark = place_of_offset(reader, parser->problem_offset);
	/* The problem alone ("did not find expected key") is a riddle without this. */
	if (parser->context && parser->error == YAML_PARSER_ERROR)
		return err_set(err, -EINVAL, "%s:%zu:%zu: %s, %s", reader->name,
			       mark.line + 1, mark.column + 1, problem, parser->context);
	return refuse(reader, &mark, err, problem, NULL);
}

static int next_event(struct reader *reader, yaml_event_t *event, struct cop_error *err)
{
	return yaml_parser_parse(&reader->parser, event) ? 0 : parser_error(reader, err);
}

static struct node *add_node(struct reader *reader, const yaml_event_t *event,
			     enum node_kind kind, struct cop_error *err)
{
	struct node *node = arena_alloc(reader->arena, sizeof(*node));

	if (!node) {
		(void)err_oom(err);
		return NULL;
	}
	node->kind = kind;
	node->line = (unsigned int)event->start_mark.line + 1;
	node->column = (unsigned int)event->start_mark.column + 1;
	return node;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event,
		       struct node **ret_node, struct cop_error *err)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	struct node *node;

	if (event->data.scalar.anchor)
		return refuse(reader, &event->start_mark, err,
			      "anchors are not used in recipes: remove",
			      (const char *)event->data.scalar.anchor);
	if (event->data.scalar.tag)
		return refuse(reader, &event->start_mark, err,
			      "tags are not used in recipes: remove",
			      (const char *)event->data.scalar.tag);
	if (memchr(value, '\0', size))
		return refuse(reader, &event->start_mark, err, "text with a NUL byte",
			      NULL);
	node = add_node(reader, event, NODE_TEXT, err);
	if (!node)
		return -ENOMEM;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->size = size;
	node->text = arena_memdup(reader->arena, value, size);
	if (!node->text) {
		(void)err_oom(err);
		return -ENOMEM;
	}
	*ret_node = node;
	return 0;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned int depth,
		     struct node **ret_node, struct cop_error *err);

static int read_list(struct reader *reader, struct node *list, unsigned int depth,
		     struct cop_error *err)
{
	struct node **link = &list->first;

	for (;;) {
		yaml_event_t event;
		bool end;
		int r = next_event(reader, &event, err);

		if (r < 0)
			return r;
		end = event.type == YAML_SEQUENCE_END_EVENT;
		if (!end)
			r = read_node(reader, &event, depth + 1, link, err);
		yaml_event_delete(&event);
		if (end || r < 0)
			return r;
		link = &(*link)->next;
	}
}

/* The key has been read; its value comes. */
static int read_value(struct reader *reader, struct map *keys,
		      const yaml_event_t *key_event, unsigned int depth,
		      struct node **link, struct cop_error *err)
{
	struct node *key = NULL, *value = NULL;
	yaml_event_t event;
	void **slot;
	int r;

	if (key_event->type != YAML_SCALAR_EVENT)
		return refuse(reader, &key_event->start_mark, err,
			      key_event->type == YAML_ALIAS_EVENT
				      ? "aliases are not used in recipes"
				      : "a key must be plain text",
			      NULL);
	r = read_scalar(reader, key_event, &key, err);
	if (r < 0)
		return r;
	assert(key);
	slot = map_slot(keys, key->text, key->size);
	if (!slot)
		return err_oom(err);
	if (*slot)
		return err_set(err, -EINVAL,
			       "%s:%u:%u: duplicate key '%s', first given in line %u",
			       reader->name, key->line, key->column, key->text,
			       ((struct node *)*slot)->line);
	*slot = key;
	r = next_event(reader, &event, err);
	if (r < 0)
		return r;
	r = read_node(reader, &event, depth + 1, &value, err);
	yaml_event_delete(&event);
	if (r < 0)
		return r;
	value->key = key->text;
	value->key_line = key->line;
	value->key_column = key->column;
	*link = value;
	return 0;
}

static int read_map(struct reader *reader, struct node *map, unsigned int depth,
		    struct cop_error *err)
{
	auto_ptr(map) keys = map_new();
	struct node **link = &map->first;

	if (!keys)
		return err_oom(err);
	for (;;) {
		yaml_event_t event;
		bool end;
		int r = next_event(reader, &event, err);

		if (r < 0)
			return r;
		end = event.type == YAML_MAPPING_END_EVENT;
		if (!end)
			r = read_value(reader, keys, &event, depth, link, err);
		yaml_event_delete(&event);
		if (end || r < 0)
			return r;
		link = &(*link)->next;
	}
}

static int read_collection(struct reader *reader, const yaml_event_t *event,
			   enum node_kind kind, unsigned int depth,
			   struct node **ret_node, struct cop_error *err)
{
	bool list = kind == NODE_LIST;
	const yaml_char_t *anchor = list ? event->data.sequence_start.anchor
					 : event->data.mapping_start.anchor;
	const yaml_char_t *tag =
		list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
	struct node *node;
	int r;

	if (anchor)
		return refuse(reader, &event->start_mark, err,
			      "anchors are not used in recipes: remove",
			      (const char *)anchor);
	if (tag)
		return refuse(reader, &event->start_mark, err,
			      "tags are not used in recipes: remove", (const char *)tag);
	node = add_node(reader, event, kind, err);
	if (!node)
		return -ENOMEM;
	r = list ? read_list(reader, node, depth, err)
		 : read_map(reader, node, depth, err);
	if (r < 0)
		return r;
	*ret_node = node;
	return 0;
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned int depth,
		     struct node **ret_node, struct cop_error *err)
{
	if (depth > DOCUMENT_DEPTH_MAX)
		return refuse(reader, &event->start_mark, err, "nested too deeply", NULL);
	if (event->type == YAML_SCALAR_EVENT)
		return read_scalar(reader, event, ret_node, err);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return read_collection(reader, event, NODE_LIST, depth, ret_node, err);
	if (event->type == YAML_MAPPING_START_EVENT)
		return read_collection(reader, event, NODE_MAP, depth, ret_node, err);
	if (event->type == YAML_ALIAS_EVENT)
		return refuse(reader, &event->start_mark, err,
			      "aliases are not used in recipes: write out",
			      (const char *)event->data.alias.anchor);
	return refuse(reader, &event->start_mark, err, "unexpected end of the document",
		      NULL);
}

/* Everything around the one root node. */
static int read_stream(struct reader *reader, struct node **ret_root,
		       struct cop_error *err)
{
	struct node *root = NULL;

	for (;;) {
		yaml_event_t event;
		bool end;
		int r = next_event(reader, &event, err);

		if (r < 0)
			return r;
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && root)
			r = refuse(reader, &event.start_mark, err,
				   "a second document: a recipe is one", NULL);
		else if (!end && event.type != YAML_STREAM_START_EVENT &&
			 event.type != YAML_DOCUMENT_START_EVENT &&
			 event.type != YAML_DOCUMENT_END_EVENT)
			r = read_node(reader, &event, 0, &root, err);
		if (end && !root)
			r = refuse(reader, &event.start_mark, err, "nothing in it", NULL);
		yaml_event_delete(&event);
		if (r < 0)
			return r;
		if (end) {
			*ret_root = root;
			return 0;
		}
	}
}

int document_read(const char *name, const char *text, size_t size,
		  struct document **ret_document, struct cop_error *err)
{
	struct reader reader = {.name = name, .text = text, .size = size};
	auto_ptr(document) document = calloc(1, sizeof(*document));
	int r;

	if (size > DOCUMENT_SIZE_MAX)
		return err_set(err, -EFBIG, "'%s': larger than %zu bytes", name,
			       DOCUMENT_SIZE_MAX);
	if (!document)
		return err_oom(err);
	reader.arena = document->arena = arena_new();
	if (!document->arena || !yaml_parser_initialize(&reader.parser))
		return err_oom(err);
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	r = read_stream(&reader, &document->root, err);
	yaml_parser_delete(&reader.parser);
	if (r < 0)
		return r;
	*ret_document = TAKE_PTR(document);
	return 0;
}
