/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers for the users and groups that packages may make, written into the lock.  A name
 * that has one keeps it; a new one gets a number that comes from its letters, so that
 * recipes which never met agree in nearly all, and the next free one where that is taken.
 */
#pragma once

#include "recipe/model.h"

/* Debian's range for them, without what base-passwd has in it, and without the end of the
 * range, which is for names that no lock foresees. */
#define NUMBER_FIRST 101
#define NUMBER_END   900
#define NUMBER_LAST  999

/*
 * numbers_assign() - lock->accounts, for the packages of @lock
 * @previous: or NULL
 * @directory_fd: where the packages are, named by checksum
 *
 * Packages that @previous has, too, are not read again.
 * Return: 0; -ENOSPC when there are more names than numbers; another negative errno.
 */
int numbers_assign(struct lock *lock, const struct lock *previous, int directory_fd,
		   struct cop_error *err);
