/* SPDX-License-Identifier: Apache-2.0 */
/* Modes as chmod(1) takes them: octal, or clauses like "u+rwX,go=r". */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

/* mode_check() - -EINVAL when @text is no mode */
int mode_check(const char *text, struct cop_error *err);

/* mode_change() - what @text, which was checked, makes of @old; the umask is 022.  Octal
 * digits leave the set-id bits of a directory alone unless there are five of them. */
mode_t mode_change(const char *text, mode_t old, bool is_dir);
