/* SPDX-License-Identifier: Apache-2.0 */
/* A file, compressed by xz. */
#include "modkit/options.h"
#include "modules/stages/pump.h"
#include "modules/stages/stages.h"
#include "modules/stages/xz.h"

int stage_xz(struct kit *kit)
{
	const char *filename = NULL;
	const struct option options[] = {NEEDED_TEXT("filename", filename)};
	auto_close int source = -EBADF, target = -EBADF;
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = pump_open(kit, filename, &source, &target);
	return r == 0 ? xz_compress(source, target, kit->err) : r;
}
