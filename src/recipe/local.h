/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages that lie beside the recipe as files.  They are solved with all others, and
 * taken by checksum like them; nobody but the recipe knows where they are.
 */
#pragma once

#include "recipe/decode.h"
#include "recipe/index.h"

/*
 * struct recipe_deb
 * @path:   below the directory of the recipe that names it
 * @place:  the same as others than the recipe can open it
 * @stanza: what a list of packages would say of it
 */
struct recipe_deb {
	const char *path;
	const char *place;
	char sha256[SHA256_HEX + 1];
	uint64_t size;
	const char *architecture;
	const char *stanza;
	size_t stanza_size;
};

/* local_is_path() - does an item of `packages` name a file? */
bool local_is_path(const char *text);

/* local_read() - the file that @text names: name, version and the rest of @package */
int local_read(struct decode *decode, const struct node *node, const char *text,
	       struct recipe_package *package, struct cop_error *err);

/* local_find() - the package of that name that is a file beside the recipe, or NULL */
const struct recipe_package *local_find(const struct recipe *recipe, const char *name);

/* local_add() - all of them to an index and to the text of a list; -EINVAL: of another
 * architecture */
int local_add(const struct recipe *recipe, struct index *index, struct buf *list,
	      struct cop_error *err);
