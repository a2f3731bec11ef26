/* SPDX-License-Identifier: Apache-2.0 */
/* Places as options name them: tree:///PATH, input://NAME/PATH, mount://NAME/PATH;
 * without a scheme the tree is meant. */
#pragma once

#include "modkit/kit.h"

/*
 * struct location
 * @root_fd: owned; the directory in which everything is resolved
 * @path:    below it, borrowed from the text; "" for the root itself
 * @inside:  the text ends in '/': what is in the directory is meant, not the directory
 */
struct location {
	int root_fd;
	const char *path;
	bool inside;
};

#define LOCATION_NONE ((struct location){.root_fd = -EBADF})

/* location_open() - -EINVAL for an unknown scheme, input or mount */
int location_open(struct kit *kit, const char *text, struct location *ret);
void location_done(struct location *location);
