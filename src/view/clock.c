/* SPDX-License-Identifier: Apache-2.0 */
#include "view/clock.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PROBE	   "clock"
#define POLL_NS	   1000000
#define MOST_POLLS 5000

bool clock_is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* The ctime of a change that is made now. */
static int read_clock(int fd, struct timespec *ret)
{
	struct stat st;

	if (futimens(fd, NULL) < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_ctim;
	return 0;
}

int clock_settle(int dir_fd, struct timespec *ret_line, struct cop_error *err)
{
	auto_close int fd =
		openat(dir_fd, PROBE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	const struct timespec poll = {.tv_nsec = POLL_NS};
	struct timespec line = {}, now = {};
	int r;

	if (fd < 0)
		return err_errno(err, "create '%s'", PROBE);
	r = read_clock(fd, &line);
	for (int i = 0; r == 0 && i < MOST_POLLS; i++) {
		r = read_clock(fd, &now);
		if (r == 0 && clock_is_after(&now, &line)) {
			*ret_line = line;
			return 0;
		}
		/* Somebody set the clock back: the line is drawn where it is now. */
		if (r == 0 && clock_is_after(&line, &now))
			line = now;
		(void)nanosleep(&poll, NULL);
	}
	return r < 0 ? err_code(err, r, "touch '%s'", PROBE)
		     : err_set(err, -ETIME, "the clock of the file system stands still");
}
