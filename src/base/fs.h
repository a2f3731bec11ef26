/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files by directory fd and relative name.
 *
 * Every fd is close-on-exec.  Nothing here follows a symlink in the last component, and
 * the two openers never leave the directory they start from.  All functions are safe from
 * any thread; none is durable unless it says so.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* Room for a name made by fs_temporary_name(). */
#define FS_TEMPORARY_NAME 32

/* fs_open_plain() - open below @dir_fd, refusing every symlink on the way (-ELOOP).
 * Return: the fd, or a negative errno with @err filled. */
int fs_open_plain(int dir_fd, const char *path, int flags, mode_t mode,
		  struct cop_error *err);

/* fs_open_in_root() - open below @root_fd as if it were /: symlinks on the way, absolute
 * ones too, are resolved inside.  Return: the fd, or a negative errno with @err filled.
 */
int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode,
		    struct cop_error *err);

/* fs_read_all() - the rest of @fd, at most @limit bytes (-EFBIG), appended to @buf */
int fs_read_all(int fd, uint64_t limit, struct buf *buf, struct cop_error *err);

/* fs_read_opened() - the same of @fd, which must be a regular file (-EINVAL); @path is
 * its name in errors */
int fs_read_opened(int fd, const char *path, uint64_t limit, struct buf *buf,
		   struct cop_error *err);

/* fs_read_file() - a regular file below @dir_fd, symlinks refused, appended to @buf */
int fs_read_file(int dir_fd, const char *path, uint64_t limit, struct buf *buf,
		 struct cop_error *err);

/* fs_write_all() - every byte or a negative errno; EINTR and short writes are handled */
int fs_write_all(int fd, const void *data, size_t size);

/* fs_pread_full() - up to @size bytes at @offset; fewer only at the end of the file.
 * Return: number of bytes, or a negative errno. */
ssize_t fs_pread_full(int fd, void *data, size_t size, uint64_t offset);

/* fs_pwrite_sparse() - write at @offset, a multiple of FS_SPARSE_BLOCK, leaving out whole
 * blocks of zeros; the caller sees to the length of the file.  0 or a negative errno. */
#define FS_SPARSE_BLOCK ((size_t)4096)
int fs_pwrite_sparse(int fd, const void *data, size_t size, uint64_t offset);

/* fs_write_new() - create @name (must not exist: -EEXIST) with exactly @mode; a failure
 * removes what was begun */
int fs_write_new(int dir_fd, const char *name, const void *data, size_t size, mode_t mode,
		 struct cop_error *err);

/* fs_replace_at() - write @name anew under a temporary name and rename it over: readers
 * see the old or the new file, never a part.  @mode is set exactly. */
int fs_replace_at(int dir_fd, const char *name, const void *data, size_t size,
		  mode_t mode, struct cop_error *err);

/* fs_replace_link_at() - the same for a symlink with text @target */
int fs_replace_link_at(int dir_fd, const char *name, const char *target,
		       struct cop_error *err);

/* fs_make_dirs() - mkdir -p of @path below @dir_fd; existing directories are left alone;
 * symlinks on the way are refused */
int fs_make_dirs(int dir_fd, const char *path, mode_t mode, struct cop_error *err);

/* fs_remove_all() - unlink @name and everything below; -ENOENT counts as done.  Follows
 * nothing and changes no attribute of what it removes, except that with @force it gives
 * directories of ours back their u+rwx, which a plain user may have taken away. */
int fs_remove_all(int dir_fd, const char *name, bool force, struct cop_error *err);

/* fs_list() - names in @dir_fd without "." and "..", sorted by unsigned bytes. @ret_names
 * is NULL-terminated and one piece of memory: fs_list_free() frees it. */
int fs_list(int dir_fd, char ***ret_names, size_t *ret_n_names, struct cop_error *err);
char **fs_list_free(char **names);

/* fs_copy_data() - the first @size bytes of @from into the empty file @to: reflink where
 * the file system can, else a copy that keeps holes.  -ESTALE: the source was shorter. */
int fs_copy_data(int from, int to, uint64_t size, struct cop_error *err);

/* fs_temporary_name() - ".tmp-" and 16 random digits; returns @name */
char *fs_temporary_name(char name[FS_TEMPORARY_NAME]);

/* fs_sync_filesystem() - syncfs(@fd): durable when it returns 0, and reports every write
 * error since @fd was opened */
int fs_sync_filesystem(int fd, struct cop_error *err);

/* fs_sync_directory() - fsync of a directory: renames and links in it are durable */
int fs_sync_directory(int dir_fd, struct cop_error *err);
