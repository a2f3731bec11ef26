/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making error messages.  Text is lower case: operation and object in quotes, outermost
 * first.  Use err_prefix() only where it adds a *new* object.
 *
 * All of these return the code, so that `return err_set(...)` is one statement; @err may
 * be NULL.  Safe from any thread as long as each has an error of its own.
 *
 * A message is one line, whatever names it quotes: control characters become "\\n", "\\t"
 * and "\\x1b".
 */
#pragma once

#include <stdarg.h>

#include <coppice/error.h>

#include "base/defs.h"

/* err_set() - fill @err with @code (a negative errno) and a message that says everything
 */
int err_set(struct cop_error *err, int code, const char *format, ...) printf_like(3, 4);

/* err_code() - as err_set(), with ": " and the text of @code appended */
int err_code(struct cop_error *err, int code, const char *format, ...) printf_like(3, 4);

/* err_errno() - as err_code() with -errno; errno must be set */
int err_errno(struct cop_error *err, const char *format, ...) printf_like(2, 3);

/* err_prefix() - put "text: " before what @err says already; returns @code unchanged */
int err_prefix(struct cop_error *err, int code, const char *format, ...)
	printf_like(3, 4);

/* err_oom() - out of memory; returns -ENOMEM; inline, so that compilers know the sign */
static inline int err_oom(struct cop_error *err)
{
	(void)err_set(err, -ENOMEM, "out of memory");
	return -ENOMEM;
}

/* err_copy() - hand an error on from a thread or a nested operation; returns its code */
int err_copy(struct cop_error *err, const struct cop_error *from);

/* err_escape() - what is done to every message, for text that stands elsewhere; cut where
 * it would take more than @size bytes, of which COP_ERROR_MAX are looked at */
void err_escape(char *text, size_t size);
