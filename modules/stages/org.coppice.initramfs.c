/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs of every kernel, made once, when all is there that it may hold. */
#include "modules/stages/kernels.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int make(struct kit *kit, const char *version)
{
	const char *argv[] = {"update-initramfs", "-c", "-k", version, NULL};

	return kernels_run(kit, argv);
}

int stage_initramfs(struct kit *kit)
{
	static const char *const keys[] = {NULL};
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	return r < 0 ? r : kernels_each(kit, make);
}
