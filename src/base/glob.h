/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/defs.h"

/* glob_matches() - as Python's fnmatchcase(): * ? [seq] [!seq] over whole texts; * takes
 * '/' and a leading '.', nothing escapes, a '[' that is never closed is itself.  By
 * characters of UTF-8. */
bool glob_matches(const char *glob, const char *text);
