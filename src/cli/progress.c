/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/monotonic.h"
#include "base/text.h"

#define SHOW_AFTER_MS 500
#define REDRAW_MS     100

static struct {
	pthread_mutex_t mutex;
	char what[64];
	int64_t begun_ms;
	int64_t drawn_ms;
	bool shown;
} line = {.mutex = PTHREAD_MUTEX_INITIALIZER};

bool terminal_is_live(void)
{
	static int live = -1;
	const char *term;

	if (live < 0) {
		term = getenv("TERM");
		live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	}
	return live > 0;
}

static size_t columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		return size.ws_col - 1u;
	return 79;
}

static void draw(const char *text)
{
	size_t width = columns();
	int length = (int)strnlen(text, width);

	/* Back to the first column, the text, then erase what an older line left. */
	(void)fprintf(stderr, "\r%.*s\033[K", length, text);
	(void)fflush(stderr);
	line.shown = true;
}

static void erase(void)
{
	if (line.shown)
		(void)fprintf(stderr, "\r\033[K");
	(void)fflush(stderr);
	line.shown = false;
}

static void format_amount(const char *unit, uint64_t value, char *text, size_t size)
{
	if (strcmp(unit, "bytes") == 0)
		text_size(value, text, size);
	else
		(void)snprintf(text, size, "%llu", (unsigned long long)value);
}

static void format_line(char *text, size_t size, const char *what, uint64_t done,
			uint64_t total, const char *unit)
{
	bool bytes = strcmp(unit, "bytes") == 0;
	char have[32], all[32];

	format_amount(unit, done, have, sizeof(have));
	format_amount(unit, total, all, sizeof(all));
	if (total > 0)
		(void)snprintf(
			text, size, "%s: %s of %s%s%s (%d%%)", what, have, all,
			bytes ? "" : " ", bytes ? "" : unit,
			(int)(100.0 * (double)min_u64(done, total) / (double)total));
	else
		(void)snprintf(text, size, "%s: %s%s%s", what, have, bytes ? "" : " ",
			       bytes ? "" : unit);
}

static void update(void *data, const char *what, uint64_t done, uint64_t total,
		   const char *unit)
{
	int64_t now = monotonic_ms();
	char text[256];

	(void)data;
	(void)pthread_mutex_lock(&line.mutex);
	if (strncmp(line.what, what, sizeof(line.what) - 1) != 0) {
		(void)snprintf(line.what, sizeof(line.what), "%s", what);
		line.begun_ms = now;
	}
	if (total > 0 && done >= total) {
		erase();
		line.what[0] = '\0';
	} else if (now - line.begun_ms >= SHOW_AFTER_MS &&
		   now - line.drawn_ms >= REDRAW_MS) {
		line.drawn_ms = now;
		format_line(text, sizeof(text), what, done, total, unit);
		draw(text);
	}
	(void)pthread_mutex_unlock(&line.mutex);
}

const struct cop_progress *terminal_progress(void)
{
	static const struct cop_progress progress = {.update = update};

	return terminal_is_live() ? &progress : NULL;
}

void terminal_progress_clear(void)
{
	(void)pthread_mutex_lock(&line.mutex);
	erase();
	(void)pthread_mutex_unlock(&line.mutex);
}

void terminal_live_line(const char *text)
{
	int64_t now = monotonic_ms();

	if (!terminal_is_live())
		return;
	(void)pthread_mutex_lock(&line.mutex);
	if (now - line.drawn_ms >= REDRAW_MS) {
		line.drawn_ms = now;
		draw(text);
	}
	(void)pthread_mutex_unlock(&line.mutex);
}
