/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory treated as if it were /: every path is resolved inside it, absolute
 * symlinks too, whatever the tree holds.  Paths may start with '/'; fs_open_in_root() is
 * the plain opener, these are the rest.
 */
#pragma once

#include <limits.h>

#include "base/fs.h"

/*
 * root_open_parent() - the directory that holds the last part of @path
 * @ret_name: the last part, which is never "", "." or ".." (-EINVAL)
 *
 * The last part itself is not looked at.  Return: an O_PATH fd, or a negative errno.
 */
int root_open_parent(int root_fd, const char *path, char ret_name[NAME_MAX + 1],
		     struct cop_error *err);

/* root_make_dirs() - mkdir -p; existing directories and symlinks to them are left alone;
 * new ones get exactly @mode */
int root_make_dirs(int root_fd, const char *path, mode_t mode, struct cop_error *err);

/* root_make_parents() - root_make_dirs() of what stands before the last '/' of @path */
int root_make_parents(int root_fd, const char *path, mode_t mode, struct cop_error *err);

/* root_replace() - fs_replace_at() of a file whose directory exists; a symlink at @path
 * is replaced, not followed */
int root_replace(int root_fd, const char *path, const void *data, size_t size,
		 mode_t mode, struct cop_error *err);

/*
 * root_open_file() - a regular file for writing, made with @mode when it is missing; a
 * symlink is followed inside the root
 *
 * Return: the fd; -EINVAL when there is something that is no regular file; another
 * negative errno.
 */
int root_open_file(int root_fd, const char *path, mode_t mode, struct cop_error *err);

/*
 * root_write() - write a file as a shell's '>' does: what exists keeps its owner, mode
 * and other names, a symlink is followed inside the root; what is new gets @mode.
 * Return: 0, or as root_open_file().
 */
int root_write(int root_fd, const char *path, const void *data, size_t size, mode_t mode,
	       struct cop_error *err);

/* root_read() - a regular file, symlinks resolved inside, appended to @buf */
int root_read(int root_fd, const char *path, uint64_t limit, struct buf *buf,
	      struct cop_error *err);

/* root_stat() - of @path itself, not of what a symlink there points to.  Return: 0, or a
 * negative errno, -ENOENT too when a directory on the way is missing. */
int root_stat(int root_fd, const char *path, struct stat *ret, struct cop_error *err);

/* root_has_program() - is there a file @name in one of the usual directories of programs?
 */
bool root_has_program(int root_fd, const char *name);
