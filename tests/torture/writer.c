/* SPDX-License-Identifier: Apache-2.0 */
/* A program that needs nothing around it: changes a tree from inside a view. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int put(const char *path, char c, size_t size)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	char data[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	memset(data, c, sizeof(data));
	for (; fd >= 0 && size > 0; size -= size < sizeof(data) ? size : sizeof(data))
		if (write(fd, data, size < sizeof(data) ? size : sizeof(data)) < 0)
			return 1;
	return fd < 0 || futimens(fd, times) < 0 || close(fd) < 0;
}

int main(void)
{
	const struct timespec times[2] = {{.tv_sec = 2}, {.tv_sec = 2}};

	if (mkdir("/new", 0755) < 0 || put("/new/big", 'b', 20000) ||
	    put("/new/small", 's', 30) || put("/etc/file-0", 'r', 9000) ||
	    unlink("/etc/file-1") < 0 || rename("/etc/file-2", "/new/moved") < 0)
		return 1;
	return utimensat(AT_FDCWD, "/new", times, 0) < 0 ||
	       utimensat(AT_FDCWD, "/etc", times, 0) < 0 ||
	       utimensat(AT_FDCWD, "/", times, 0) < 0;
}
