/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 * 1024 * 1024)

/* Below this the rounding would cost more than it saves. */
#define LEAST (2 * HUGE_PAGE)

void *pages_alloc(size_t size)
{
	void *data;

	if (size < LEAST || size > SIZE_MAX - HUGE_PAGE)
		return malloc(size);
	data = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
	if (data)
		(void)madvise(data, size, MADV_HUGEPAGE);
	return data;
}
