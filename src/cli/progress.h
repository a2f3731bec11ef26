/* SPDX-License-Identifier: Apache-2.0 */
/* One live line on a terminal for work that takes longer than half a second. */
#pragma once

#include <coppice/progress.h>

#include "base/defs.h"

/* terminal_progress() - writes to standard error where that is a terminal, else nothing;
 * static */
const struct cop_progress *terminal_progress(void);

/* terminal_progress_clear() - take the live line away before other words are printed */
void terminal_progress_clear(void);

/* terminal_live_line() - show @text as the live line (cut to the width) */
void terminal_live_line(const char *text);

/* terminal_is_live() - a live line can be shown */
bool terminal_is_live(void);
