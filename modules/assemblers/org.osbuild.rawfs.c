/* SPDX-License-Identifier: Apache-2.0 */
/* The tree as one file system in a file. */
#include "modkit/options.h"
#include "modules/assemblers/assemble.h"
#include "modules/assemblers/assemblers.h"

int assembler_rawfs(struct kit *kit)
{
	const char *filename = NULL;
	struct disk_part part = {
		.name = "root", .filesystem = "ext4", .label = "", .mount = "/"};
	const struct option options[] = {
		NEEDED_TEXT("filename", filename),
		NEEDED_TEXT("root_fs_uuid", part.fs_uuid),
		NEEDED_INTEGER("size", part.size),
		OPTION_TEXT("fs_type", part.filesystem),
	};
	struct assembly assembly;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	r = assemble_begin(kit, &assembly, filename, part.size, &part, 1);
	if (r == 0)
		r = assemble_fill(&assembly, &part);
	if (r == 0)
		r = assemble_keep(&assembly);
	assemble_end(&assembly);
	return r;
}
