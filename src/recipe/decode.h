/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a YAML node to a value of a recipe.  Every mapping has one table with a function
 * per key; what is not in the table is refused with the name it was probably meant to be.
 */
#pragma once

#include "recipe/document.h"
#include "recipe/model.h"

struct image_part;

/*
 * struct decode - what is being filled
 * @file:        the file in turn
 * @part:        the partition in turn
 * @source:      its `source:`, or NULL
 * @has_content: it has a `content:`
 */
struct decode {
	struct recipe *recipe;
	struct recipe_file *file;
	struct image_part *part;
	const struct node *source;
	bool has_content;
};

struct decode_field {
	const char *key;
	int (*take)(struct decode *decode, const struct node *node,
		    struct cop_error *err);
};

/* Keys that one mapping may have. */
#define DECODE_FIELDS_MAX 16

/* decode_wrong() - "FILE:LINE:COLUMN: " and the reason; -EINVAL */
int decode_wrong(const struct decode *decode, const struct node *node,
		 struct cop_error *err, const char *format, ...) printf_like(4, 5);

/* decode_map() - every key of @map by its function; @what names the map in messages */
int decode_map(struct decode *decode, const struct node *map,
	       const struct decode_field *fields, size_t n_fields, const char *what,
	       struct cop_error *err);

/* decode_list() - -EINVAL when it is none */
int decode_list(const struct decode *decode, const struct node *node,
		struct cop_error *err);

/* decode_count() - nodes in a list or mapping */
size_t decode_count(const struct node *node);

/* decode_text() - a text that is not empty: YAML's "key:" with nothing behind it is one
 * that was forgotten */
int decode_text(const struct decode *decode, const struct node *node,
		const char **ret_text, struct cop_error *err);

/* decode_texts() - a list of texts, or where @or_one a single one */
int decode_texts(const struct decode *decode, const struct node *node, bool or_one,
		 const char ***ret_texts, struct cop_error *err);

/* decode_files() - the key `files` */
int decode_files(struct decode *decode, const struct node *node, struct cop_error *err);
