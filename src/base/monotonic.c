/* SPDX-License-Identifier: Apache-2.0 */
#include "base/monotonic.h"

#include <time.h>

static int64_t read_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t monotonic_ms(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000000;
}

double monotonic_seconds(void)
{
	return (double)read_ns(CLOCK_MONOTONIC) / 1e9;
}

int64_t monotonic_coarse_ms(void)
{
	return read_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}
