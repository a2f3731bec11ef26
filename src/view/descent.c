/* SPDX-License-Identifier: Apache-2.0 */
#include "view/descent.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tree/tree.h"

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct descent_place {
	dev_t dev;
	ino_t ino;
};

int descent_begin(struct descent *descent, int root_fd)
{
	*descent = (struct descent){.fd = openat(root_fd, ".", OPEN_DIRECTORY)};
	return descent->fd < 0 ? -errno : 0;
}

void descent_done(struct descent *descent)
{
	closep(&descent->fd);
	free(descent->above);
	*descent = (struct descent){.fd = -EBADF};
}

static int reserve_place(struct descent *descent)
{
	size_t wanted = descent->capacity ? descent->capacity * 2 : 16;
	struct descent_place *grown;

	if (descent->depth < descent->capacity)
		return 0;
	grown = reallocarray(descent->above, wanted, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	descent->above = grown;
	descent->capacity = wanted;
	return 0;
}

int descent_enter(struct descent *descent, const char *name)
{
	struct stat st;
	int r, fd;

	if (descent->depth >= TREE_DEPTH_MAX)
		return -ELOOP;
	r = reserve_place(descent);
	if (r < 0)
		return r;
	if (fstat(descent->fd, &st) < 0)
		return -errno;
	fd = openat(descent->fd, name, OPEN_DIRECTORY);
	if (fd < 0)
		return -errno;
	descent->above[descent->depth++] =
		(struct descent_place){.dev = st.st_dev, .ino = st.st_ino};
	closep(&descent->fd);
	descent->fd = fd;
	return 0;
}

int descent_leave(struct descent *descent, int *ret_left)
{
	const struct descent_place *place = &descent->above[descent->depth - 1];
	auto_close int fd = openat(descent->fd, "..", OPEN_DIRECTORY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != place->dev || st.st_ino != place->ino)
		return -ESTALE;
	if (ret_left)
		*ret_left = descent->fd;
	else
		closep(&descent->fd);
	descent->fd = TAKE_FD(fd);
	descent->depth--;
	return 0;
}
