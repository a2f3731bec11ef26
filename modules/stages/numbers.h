/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the users and groups that packages make.  adduser and its like take what is
 * free at the moment, so a number depends on everything that was installed before.  Here
 * each new name gets the number that the lock gave it, wherever the old one stands: in
 * the files of users and groups, as owner of files, in ACLs.
 */
#pragma once

#include "modkit/kit.h"

/* What Debian calls dynamically allocated system users and groups. */
#define NUMBERS_FIRST 100
#define NUMBERS_LAST  999
/* From here on: names that the lock does not know. */
#define NUMBERS_SPARE 900

struct numbers;

/*
 * numbers_begin() - before a program runs: which users and groups there are already
 *
 * The option "numbers" has a number for each name; without it nothing will be changed.
 * Return: 0; -EINVAL for a number out of range; another negative errno.
 */
int numbers_begin(struct kit *kit, struct numbers **ret);
struct numbers *numbers_free(struct numbers *numbers);
DEFINE_AUTO_PTR(numbers)

/*
 * numbers_settle() - whoever came since then gets the right number
 *
 * Who was there before keeps the old one, as do numbers outside of the range.  A name
 * without a number gets one made of its letters, and the log says so.  Needs /proc.
 * Return: 0; -EEXIST when somebody else has a number; another negative errno.
 */
int numbers_settle(struct numbers *numbers);
