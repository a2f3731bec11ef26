/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As of when a recipe is locked.  A lock of a date stays one of that date, so that a
 * package more is one of its time, until its versions are updated.
 */
#include <ctype.h>
#include <string.h>
#include <time.h>

#include "recipe/check.h"
#include "recipe/solver.h"

/* Two digits of the date as a number. */
static int two(const char *digits)
{
	return (digits[0] - '0') * 10 + digits[1] - '0';
}

/* "20260231T000000Z" looks like one. */
static bool is_in_calendar(const char *date)
{
	struct tm tm = {.tm_year = two(date) * 100 + two(date + 2) - 1900,
			.tm_mon = two(date + 4) - 1,
			.tm_mday = two(date + 6),
			.tm_hour = two(date + 9),
			.tm_min = two(date + 11),
			.tm_sec = two(date + 13)};
	const struct tm given = tm;

	return timegm(&tm) != (time_t)-1 && tm.tm_year == given.tm_year &&
	       tm.tm_mon == given.tm_mon && tm.tm_mday == given.tm_mday &&
	       tm.tm_hour == given.tm_hour && tm.tm_min == given.tm_min &&
	       tm.tm_sec == given.tm_sec;
}

/* Each form, with '0' for a digit. */
static bool has_form(const char *text, const char *form)
{
	for (; *text && *form; text++, form++)
		if (*form == '0' ? !isdigit((unsigned char)*text) : *text != *form)
			return false;
	return !*text && !*form;
}

int lock_date(const char *text, char date[LOCK_DATE_SIZE], struct cop_error *err)
{
	static const char *const forms[] = {"00000000T000000Z", "0000-00-00T00:00:00Z",
					    "00000000", "0000-00-00"};
	char whole[LOCK_DATE_SIZE] = "00000000T000000Z";
	bool known = false;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(forms) && !known; i++)
		known = has_form(text, forms[i]);
	for (const char *c = text; known && *c; c++)
		if (isdigit((unsigned char)*c)) {
			whole[n] = *c;
			n += n == 7 ? 2 : 1;
		}
	if (!known || !is_in_calendar(whole))
		return err_set(err, -EINVAL,
			       "'%.40s' is not a date such as 2026-09-12 or "
			       "20260912T075541Z",
			       text);
	(void)memcpy(date, whole, LOCK_DATE_SIZE);
	return 0;
}

const char *lock_snapshot(const struct lock *lock)
{
	return lock->snapshot;
}

const char *solver_snapshot(const struct lock *previous,
			    const struct lock_options *options)
{
	const char *before = previous ? previous->snapshot : NULL;

	if (options->snapshot || !before)
		return options->snapshot;
	if (options->update) {
		apt_note(options,
			 "the lock was of the archive of %s, and is now of "
			 "today's",
			 before);
		return NULL;
	}
	return before;
}

bool solver_keeps_versions(const struct solver *solver)
{
	const struct lock *previous = solver->previous;
	const char *snapshot = solver->options->snapshot;

	if (!previous || strcmp(previous->suite, solver->recipe->suite) != 0 ||
	    strcmp(previous->architecture, solver->recipe->architecture) != 0)
		return false;
	return !snapshot ||
	       (previous->snapshot && strcmp(previous->snapshot, snapshot) == 0);
}
