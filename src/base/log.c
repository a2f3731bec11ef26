/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static log_sink current_sink;
static void *current_data;

void log_set_sink(log_sink sink, void *data)
{
	current_sink = sink;
	current_data = data;
}

void log_debug(const char *format, ...)
{
	char line[1024];
	int saved = errno;
	va_list ap;

	if (!current_sink)
		return;
	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	current_sink(current_data, line);
	errno = saved;
}
