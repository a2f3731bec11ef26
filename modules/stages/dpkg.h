/* SPDX-License-Identifier: Apache-2.0 */
/* The tree's own dpkg: running it so that it asks nothing, starts nothing and leaves
 * nothing behind that would differ the next time. */
#pragma once

#include "modkit/command.h"

#define DPKG_STATUS "var/lib/dpkg/status"

/*
 * dpkg_run() - dpkg in the tree, with the options that every run of ours has
 * @arguments: what follows them; NULL-terminated
 * @binds:     visible to it, see struct command
 *
 * Services are kept from starting while it runs.  What it and the scripts wrote besides
 * package content (logs, locks, backups, keys of this one machine) is removed again,
 * unless it was there before.  Return: 0; -ECHILD with the package and the last lines of
 * its script; another negative errno.
 */
int dpkg_run(struct kit *kit, const char *const *arguments,
	     const struct command_bind *binds, size_t n_binds);

/*
 * dpkg_check() - is every package of the tree installed, with no trigger pending, and is
 * each of @packages (an array of strings, or NULL) among them?
 *
 * Return: 0; -EBADMSG naming the first that is not; another negative errno.
 */
int dpkg_check(struct kit *kit, const json_t *packages);
