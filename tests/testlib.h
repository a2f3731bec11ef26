/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit tests share.  cmocka.h needs the headers before it and must come last. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

/* assert_ok() - a call must not fail; prints its error otherwise */
#define assert_ok(call, err)                                                         \
	do {                                                                         \
		int assert_ok_r_ = (call);                                           \
		if (assert_ok_r_ < 0)                                                \
			fail_msg("%s: %d: %s", #call, assert_ok_r_, (err)->message); \
	} while (0)

/* assert_fails() - a call must fail with this code; prints what came instead */
#define assert_fails(call, expected, err)                                            \
	do {                                                                         \
		int assert_fails_r_ = (call);                                        \
		if (assert_fails_r_ != (expected))                                   \
			fail_msg("%s: %d instead of %d: %s", #call, assert_fails_r_, \
				 (expected), (err)->message);                        \
	} while (0)
