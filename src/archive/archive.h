/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees from and to archives: tar in any of its dialects and compressions, and OCI
 * images.  Everything streams: a file is never held in memory as a whole, input and
 * output may be pipes.  Nothing is laid out on disk, so a plain user keeps owners,
 * devices and capabilities too.
 */
#pragma once

#include <coppice/progress.h>

#include "store/commit.h"

enum archive_format {
	ARCHIVE_ANY, /* an OCI image where the archive is one, else tar */
	ARCHIVE_TAR, /* what is in the archive, an OCI image too, as a tree */
	ARCHIVE_OCI, /* the tree that the layers of an image make */
};

/*
 * struct archive_import_options
 * @name: the ref to set
 * @source_epoch: later times become it; negative: they stay
 * @progress, @totals: may be NULL
 */
struct archive_import_options {
	enum archive_format format;
	const char *name;
	int64_t source_epoch;
	const struct cop_progress *progress;
	struct staging_totals *totals;
};

/*
 * archive_import() - read an archive from @fd (not consumed) and commit it
 *
 * Names are relative: "..", absolute names and names below something that is no directory
 * are refused.  Of several entries with one name the last counts.  Directories that have
 * no entry are 0755, of root, from 1970.  In layers of an image whiteouts are applied.
 * Nothing is committed unless the archive was read to its end mark.
 *
 * Return: 0; -EBADMSG (not an archive, damaged, cut off, or a name as above); -ERANGE,
 * -EINVAL and so on for what a tree cannot hold, named; others as store_commit().
 */
int archive_import(struct cop_store *store, int fd,
		   const struct archive_import_options *options,
		   struct cop_digest *ret_digest, struct cop_error *err);

/*
 * archive_export_tar() - write @tree (canonical) to @fd as a pax archive
 *
 * The bytes follow from the tree alone: entries in the order of tree_next(), owners as
 * numbers, no time but the mtime, long runs of zeros as holes.  Every file is compared
 * with its digest before the first byte of it is written.  Return: 0; -EUCLEAN, naming
 * the file that is damaged; -E2BIG, -EINVAL for what tar cannot hold (sockets), named;
 * another negative errno.  After a failure the archive has no end mark.
 */
int archive_export_tar(struct cop_store *store, const struct tree *tree, int fd,
		       const struct cop_progress *progress, struct cop_error *err);

/*
 * archive_export_oci() - write @tree to @fd as an OCI image of one layer, in a tar
 * archive
 * @name: of the image in its index; may be NULL
 *
 * The same promises; contents are read twice, as the name of a layer stands before it.
 */
int archive_export_oci(struct cop_store *store, const struct tree *tree, const char *name,
		       int fd, const struct cop_progress *progress,
		       struct cop_error *err);
