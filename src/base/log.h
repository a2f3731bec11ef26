/* SPDX-License-Identifier: Apache-2.0 */
/* What only a developer wants to read.  Silent unless a program sets a sink. */
#pragma once

#include "base/defs.h"

typedef void (*log_sink)(void *data, const char *line);

/* log_set_sink() - where lines go from now on; NULL: nowhere.  Call before any thread. */
void log_set_sink(log_sink sink, void *data);

/* log_debug() - one line without newline; lost where no sink is set.  Any thread. */
void log_debug(const char *format, ...) printf_like(1, 2);
