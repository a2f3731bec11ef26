/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which users and groups may a package make?  Read out of its scripts and its files for
 * systemd-sysusers.  A script can be anything, so this finds what is written as people
 * write it; a name too many does no harm, it only reserves a number.
 */
#pragma once

#include "base/error.h"

/* called for each name; @number is 0, or what the package itself asks for */
typedef int name_found(void *data, const char *name, uint32_t number,
		       struct cop_error *err);

/*
 * names_of_script() - of a shell script: what adduser, addgroup, useradd and groupadd are
 * given, variables that are set to one word included
 *
 * Names that every Debian has from the start (base-passwd) are left out, here and below.
 * A name may be found more than once.  Return: 0; -ENOMEM; what @found returned when it
 * was negative.
 */
int names_of_script(const char *text, name_found *found, void *data,
		    struct cop_error *err);

/* names_of_sysusers() - the lines u and g of sysusers.d(5) */
int names_of_sysusers(const char *text, name_found *found, void *data,
		      struct cop_error *err);
