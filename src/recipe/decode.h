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
 * @item:        whatever else is in turn
 * @source:      its `source:`, or NULL
 * @has_content: it has a `content:`
 * @has_mode:    it has a `mode:`
 * @room_for_files: as many files can be in the recipe's list
 */
struct decode {
	struct recipe *recipe;
	struct recipe_file *file;
	struct image_part *part;
	void *item;
	const struct node *source;
	bool has_content;
	bool has_mode;
	size_t room_for_files;
};

struct decode_field {
	const char *key;
	int (*take)(struct decode *decode, const struct node *node,
		    struct cop_error *err);
};

/* Keys that one mapping may have. */
#define DECODE_FIELDS_MAX 40

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

/* decode_flag() - true, yes, false or no */
int decode_flag(const struct decode *decode, const struct node *node, bool *ret_flag,
		struct cop_error *err);

/* decode_mode() - an octal mode */
int decode_mode(const struct decode *decode, const struct node *node, mode_t *ret_mode,
		struct cop_error *err);

/* decode_owner() - a number, or a name that the tree will know; *@ret_name is NULL for a
 * number */
int decode_owner(const struct decode *decode, const struct node *node,
		 uint32_t *ret_number, const char **ret_name, struct cop_error *err);

/* decode_uris() - one address or a list of them, not empty */
int decode_uris(const struct decode *decode, const struct node *node,
		const char ***ret_uris, struct cop_error *err);

/* decode_template() - an address with @SNAPSHOTID@ in it */
int decode_template(const struct decode *decode, const struct node *node,
		    const char **ret_template, struct cop_error *err);

/* decode_open_beside() - the recipe's directory.  Return: an fd, or a negative errno. */
int decode_open_beside(const struct recipe *recipe, struct cop_error *err);

/* decode_secret() - the name of a secret */
int decode_secret(const struct decode *decode, const struct node *node,
		  const char **ret_name, struct cop_error *err);

/* decode_files() - the key `files` */
int decode_files(struct decode *decode, const struct node *node, struct cop_error *err);
