/* SPDX-License-Identifier: Apache-2.0 */
/* Names of machines, as gethostname() and the resolver take them. */
#pragma once

#include "base/error.h"

/* Linux's limit. */
#define HOSTNAME_LENGTH_MAX 64

/* hostname_check() - 0, or -EINVAL saying what is wrong with @name: labels of letters,
 * digits and '-' between dots, not starting or ending with '-', at most 64 bytes */
int hostname_check(const char *name, struct cop_error *err);
