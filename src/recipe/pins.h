/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of the previous lock that a new one keeps: those that the archive still has,
 * and those whose file is still in the store of sources.
 */
#pragma once

#include "recipe/apt.h"
#include "recipe/index.h"

/* struct pin - @package of the previous lock; @kept: apt gets it from the file that we
 * have; @dropped: neither the archive nor we have it */
struct pin {
	const struct lock_package *package;
	bool kept;
	bool dropped;
};

struct pins {
	struct pin *pins;
	size_t n_pins;
};

void pins_done(struct pins *pins);

/*
 * pins_make() - look for every package of @previous that is not to be updated
 * @index: gets a stanza for each file that is taken from the store of sources, as does
 *         @kept where it is Debian's, and @extra where not
 */
int pins_make(const struct apt *apt, struct index *index, const struct lock *previous,
	      int directory_fd, struct pins *pins, struct buf *kept, struct buf *extra,
	      struct cop_error *err);

/* pins_find() - the pin of that package, or NULL */
const struct pin *pins_find(const struct pins *pins, const char *name);

/* pins_append() - as apt's preferences */
void pins_append(const struct pins *pins, struct buf *preferences);
