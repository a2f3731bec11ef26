/* SPDX-License-Identifier: Apache-2.0 */
/* The tree as a tar archive, every name of which begins with "./". */
#include "modkit/options.h"
#include "modules/assemblers/assemblers.h"
#include "modules/stages/tarball.h"

int assembler_tar(struct kit *kit)
{
	struct tarball tarball = {
		.acls = true, .selinux = true, .xattrs = true, .with_root = true};
	const char *filename = NULL, *compression = "none";
	const struct option options[] = {
		NEEDED_TEXT("filename", filename),
		OPTION_TEXT("compression", compression),
		OPTION_FLAG("acls", tarball.acls),
		OPTION_FLAG("selinux", tarball.selinux),
		OPTION_FLAG("xattrs", tarball.xattrs),
	};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	tarball.format =
		tarball.acls || tarball.selinux || tarball.xattrs ? TAR_POSIX : TAR_GNU;
	return r == 0 ? tarball_file(kit, &tarball, filename, compression) : r;
}
