/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML as recipes use it: mappings, lists and scalars, each with the place where it was
 * written.  A scalar is its text and nothing else: `no`, `1.10` and `0755` are typed by
 * whoever asks for them, never by their look.
 */
#pragma once

#include "base/error.h"

#define DOCUMENT_SIZE_MAX  ((size_t)(4 * MIB))
#define DOCUMENT_DEPTH_MAX 16

enum node_kind {
	NODE_TEXT,
	NODE_LIST,
	NODE_MAP,
};

/*
 * struct node - borrowed from its document
 * @line, @column: of the node, counted from 1
 * @key:    its name when it is in a mapping, else NULL; with its own place
 * @text:   of a scalar, NUL-terminated, without NUL inside
 * @plain:  a scalar that was written without quotes and not as a block
 * @first:  first of a list's items or a mapping's values, in the order of the text
 * @next:   the one after this
 */
struct node {
	enum node_kind kind;
	unsigned int line, column;
	const char *key;
	unsigned int key_line, key_column;
	const char *text;
	size_t size;
	bool plain;
	struct node *first;
	struct node *next;
};

struct document;

/*
 * document_read() - one document
 * @name: of the file, for messages
 *
 * Return: 0; -EINVAL with "NAME:LINE:COLUMN: reason" for anything that is not YAML or not
 * used in recipes: a duplicate key, an anchor, alias or tag, a second document, more than
 * DOCUMENT_DEPTH_MAX levels; -EFBIG; -ENOMEM.
 */
int document_read(const char *name, const char *text, size_t size,
		  struct document **ret_document, struct cop_error *err);
struct document *document_free(struct document *document);
DEFINE_AUTO_PTR(document)

/* document_root() - of the document; never NULL */
const struct node *document_root(const struct document *document);
