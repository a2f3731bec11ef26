/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of tar archives.  The same entry gives the same bytes for ever: owners are
 * numbers, there is no access or change time, and extended headers stand only where an
 * entry does not fit without.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

#define TAR_BLOCK ((size_t)512)

enum tar_format {
	TAR_GNU,   /* long names as GNU tar has them, no extended attributes */
	TAR_POSIX, /* ustar and, where needed, pax headers */
	TAR_USTAR, /* what does not fit is an error */
	TAR_V7,	   /* the same; no devices either */
};

/*
 * struct tar_entry
 * @path:       as it shall stand in the archive; a directory's ends in '/'
 * @link:       of a symlink or hard link, or NULL
 * @type:       '0' file, '1' hard link, '2' symlink, '3' character and '4' block device,
 *              '5' directory, '6' fifo
 * @size_bytes: of the content that follows; 0 for all but files
 * @records:    further pax records, each "LENGTH KEY=VALUE\n" (tar_record()); posix only
 */
struct tar_entry {
	const char *path;
	const char *link;
	char type;
	uint32_t mode;
	uint64_t uid, gid;
	uint64_t size_bytes;
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t major, minor;
	const struct buf *records;
};

/* tar_type() - of an inode with @mode: '0', '2' to '6'; 0 for a socket and what else
 * archives cannot hold */
char tar_type(mode_t mode);

/* tar_record() - append one pax record to @records; 0 or -ENOMEM */
int tar_record(struct buf *records, const char *key, const void *value, size_t size);

/* tar_header() - append everything that stands before the content of @entry to @out.
 * Return: 0; -E2BIG when the format cannot hold the entry; -ENOMEM. */
int tar_header(enum tar_format format, const struct tar_entry *entry, struct buf *out,
	       struct cop_error *err);

/* tar_padding() - number of zero bytes after a content of @size_bytes */
size_t tar_padding(uint64_t size_bytes);
