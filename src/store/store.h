/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms may know of an open store beside the public interface. */
#pragma once

#include <coppice/store.h>

#include "base/defs.h"

/* for auto_ptr(cop_store) */
static inline void cop_store_freep(struct cop_store **store)
{
	*store = cop_store_close(*store);
}

/* store_fd() - the store's directory; borrowed */
int store_fd(const struct cop_store *store);

/* store_is_read_only() - opened so, or written by a version whose stores we may only read
 */
bool store_is_read_only(const struct cop_store *store);

/* store_trust() - object_verify() believes what it should look at, for people who must
 * hurry or cannot do without what is damaged */
void store_trust(struct cop_store *store);

/* store_sources_path() - where downloads are kept (STORE/sources), absolute; borrowed */
const char *store_sources_path(const struct cop_store *store);

/* store_default_path() - $COPPICE_STORE, else /var/lib/coppice for root and
 * $XDG_DATA_HOME/coppice or ~/.local/share/coppice for others; freed by the caller */
int store_default_path(char **ret_path, struct cop_error *err);

/* store_open_default() - cop_store_open(COP_STORE_CREATE) of that; what a new user lacks of
 * ~/.local/share is made, private as the XDG base directory specification wants it */
int store_open_default(struct cop_store **ret_store, struct cop_error *err);
