/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that a file system stamps changes with.  It may stand still for some
 * milliseconds, so that two changes get one time; these functions wait for it.
 */
#pragma once

#include <time.h>

#include "base/error.h"

/*
 * clock_settle() - draw a line between the changes so far and those to come
 * @dir_fd:   on the file system in question; a probe file of ours is kept in it
 * @ret_line: every change that happened before the call has this ctime or an earlier one,
 *            every change after it a later one
 *
 * Waits until the clock has moved: not at all on kernels with multigrain times, else one
 * tick (10 ms at most; seconds where a file system knows only seconds).  -ETIME: it does
 * not move.
 */
int clock_settle(int dir_fd, struct timespec *ret_line, struct cop_error *err);

/* clock_is_after() - @a is later than @b */
bool clock_is_after(const struct timespec *a, const struct timespec *b);
