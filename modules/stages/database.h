/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpkg's database for packages that extract_packages() has laid out: it says what it
 * would say after `dpkg --unpack`, so that dpkg can configure them without unpacking them
 * again.
 *
 * That holds only where unpacking is nothing but laying out.  A package with a preinst
 * script, with an interest in triggers or without checksums is not taken; dpkg has to
 * unpack it.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#define DATABASE_DIR "var/lib/dpkg"

struct database;

/* database_new() - make an empty database in the tree */
int database_new(int tree_fd, const char *architecture, struct database **ret,
		 struct cop_error *err);
struct database *database_free(struct database *database);
DEFINE_AUTO_PTR(database)

/*
 * database_add() - note a package as unpacked
 * @list: of extract_packages()
 *
 * Its configuration files get the second name under which dpkg looks for new ones.
 * Return: 1; 0 when dpkg has to unpack it; a negative errno.
 */
int database_add(struct database *database, const char *deb_path, const struct buf *list,
		 struct cop_error *err);

/* database_write() - what was added becomes what dpkg knows */
int database_write(struct database *database, struct cop_error *err);
