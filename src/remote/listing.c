/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/listing.h"

#include <expat.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

/* Longest value of an element that is of use. */
#define VALUE_MAX ((size_t)4096)

struct parsing {
	XML_Parser parser;
	int (*visit)(void *data, const struct listing_entry *entry);
	void *data;
	unsigned int depth;
	bool in_contents, is_truncated;
	struct buf value; /* of the innermost element */
	struct buf key, modified, next;
	uint64_t size;
	int result;
};

static void begin_element(void *data, const char *name, const char **attributes)
{
	struct parsing *parsing = data;

	(void)attributes;
	parsing->depth++;
	buf_truncate(&parsing->value, 0);
	if (parsing->depth == 2 && strcmp(name, "Contents") == 0) {
		parsing->in_contents = true;
		buf_truncate(&parsing->key, 0);
		buf_truncate(&parsing->modified, 0);
		parsing->size = 0;
	}
}

static void take_text(void *data, const char *text, int size)
{
	struct parsing *parsing = data;

	if (parsing->value.size + (size_t)size <= VALUE_MAX)
		(void)buf_append(&parsing->value, text, (size_t)size);
}

static void stop(struct parsing *parsing, int result)
{
	parsing->result = result;
	(void)XML_StopParser(parsing->parser, XML_FALSE);
}

static void end_entry(struct parsing *parsing)
{
	struct listing_entry entry = {.key = buf_text(&parsing->key),
				      .modified = buf_text(&parsing->modified),
				      .size = parsing->size};
	int r = parsing->key.size > 0 ? parsing->visit(parsing->data, &entry) : 0;

	parsing->in_contents = false;
	if (r < 0)
		stop(parsing, r);
}

static void end_element(void *data, const char *name)
{
	struct parsing *parsing = data;
	const struct buf *value = &parsing->value;
	struct buf *place = NULL;

	if (parsing->in_contents && parsing->depth == 3) {
		if (strcmp(name, "Key") == 0)
			place = &parsing->key;
		else if (strcmp(name, "LastModified") == 0)
			place = &parsing->modified;
		else if (strcmp(name, "Size") == 0)
			(void)text_to_u64(buf_text(value), &parsing->size);
	} else if (parsing->depth == 2) {
		if (strcmp(name, "NextContinuationToken") == 0)
			place = &parsing->next;
		else if (strcmp(name, "IsTruncated") == 0)
			parsing->is_truncated = strcmp(buf_text(value), "true") == 0;
		else if (parsing->in_contents)
			end_entry(parsing);
	}
	if (place) {
		buf_truncate(place, 0);
		if (buf_append(place, buf_text(value), value->size) < 0)
			stop(parsing, -ENOMEM);
	}
	buf_truncate(&parsing->value, 0);
	parsing->depth--;
}

/* A listing needs no document type, and one could hold entities that grow. */
static void refuse_doctype(void *data, const char *name, const char *system,
			   const char *public, int has_subset)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	stop(data, -EBADMSG);
}

static void parsing_done(struct parsing *parsing)
{
	XML_ParserFree(parsing->parser);
	buf_done(&parsing->value);
	buf_done(&parsing->key);
	buf_done(&parsing->modified);
	buf_done(&parsing->next);
}

int listing_parse(const char *text, size_t size,
		  int (*visit)(void *data, const struct listing_entry *entry), void *data,
		  char **token, struct cop_error *err)
{
	cleanup_with(parsing_done) struct parsing parsing = {
		.parser = XML_ParserCreate(NULL), .visit = visit, .data = data};

	if (!parsing.parser)
		return err_oom(err);
	XML_SetUserData(parsing.parser, &parsing);
	XML_SetElementHandler(parsing.parser, begin_element, end_element);
	XML_SetCharacterDataHandler(parsing.parser, take_text);
	XML_SetStartDoctypeDeclHandler(parsing.parser, refuse_doctype);
	if (XML_Parse(parsing.parser, text, (int)size, XML_TRUE) != XML_STATUS_OK &&
	    parsing.result == 0)
		parsing.result = -EBADMSG;
	if (parsing.result == -EBADMSG)
		return err_set(err, -EBADMSG, "a listing of the server is damaged: %s",
			       XML_ErrorString(XML_GetErrorCode(parsing.parser)));
	if (parsing.result < 0)
		return err_code(err, parsing.result, "list");
	free(*token);
	*token = NULL;
	if (!parsing.is_truncated)
		return 0;
	if (parsing.next.size == 0)
		return err_set(err, -EBADMSG,
			       "a listing of the server does not say how it goes on");
	*token = strdup(buf_text(&parsing.next));
	return *token ? 0 : err_oom(err);
}
