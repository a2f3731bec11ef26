/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the comparison of a value with a schema: what its parts share.
 *
 * Every check returns 0, SCHEMA_INVALID or a negative errno.  Below anyOf, oneOf and not
 * only the outcome counts: nothing is said, and the first finding ends it.
 */
#pragma once

#include "json/schema-node.h"

/* The way from the top to a value: a key, or else an index. */
struct step {
	const struct step *parent;
	const char *key;
	size_t index;
};

struct checker {
	const struct schema *schema;
	const json_t *path;
	struct schema_errors *errors;
	struct cop_error *err;
	uint64_t steps;
	unsigned int depth;
	bool quiet;
};

/* check_value() - a value, found at @at, against one node */
int check_value(struct checker *c, const struct schema_node *node, const json_t *value,
		const struct step *at);

/* check_object() - all keywords that speak of objects; 0 for other values */
int check_object(struct checker *c, const struct schema_node *node, const json_t *value,
		 const struct step *at);

/* check_counts() - a size against its bounds; @few and @many say how it is wrong, but for
 * the bounds 1 and 0 the library has words of its own */
int check_counts(struct checker *c, const struct step *at, const json_t *value, size_t n,
		 const struct schema_count *min, const struct schema_count *max,
		 const char *few, const char *many);

/* check_pattern() - as pattern_search() */
int check_pattern(struct checker *c, const struct pattern *pattern,
		  struct json_text text);

/* check_charge() - count work; 0, or -E2BIG when it is too much */
int check_charge(struct checker *c, size_t steps);

/* check_say() - add a message about @at; SCHEMA_INVALID, or a negative errno */
int check_say(struct checker *c, const struct step *at, const struct buf *message);

/* check_complain() - say "VALUE text" or "VALUE text OPERAND"; quiet: only the outcome */
int check_complain(struct checker *c, const struct step *at, const json_t *value,
		   const char *text, const json_t *operand);

/* check_append() - the repr of a value, or of a key, to a message; 0 or negative */
int check_append(struct checker *c, const json_t *json, struct buf *message);
int check_append_key(struct checker *c, const char *key, struct buf *message);
