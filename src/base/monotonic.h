/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time that only goes forward, for deadlines and for how long something took.  Nothing
 * that is kept comes from it.
 */
#pragma once

#include <stdint.h>

/* monotonic_ns(), monotonic_ms(), monotonic_seconds() - since some moment before; thread
 * safe */
int64_t monotonic_ns(void);
int64_t monotonic_ms(void);
double monotonic_seconds(void);

/* monotonic_coarse_ms() - the same clock, some milliseconds late and cheaper: for what is
 * asked very often */
int64_t monotonic_coarse_ms(void);
