/* SPDX-License-Identifier: Apache-2.0 */
/* A stage that fails with the exit status that was asked for. */
#include "modules/stages/stages.h"
#include "json/json.h"

int stage_error(struct kit *kit)
{
	static const char *const keys[] = {"returncode", NULL};
	int64_t status = 255;
	int r = json_only_keys(kit->options, keys, "options", kit->err);

	if (r == 0)
		r = json_optional_integer(kit->options, "returncode", "options", &status,
					  kit->err);
	if (r < 0)
		return r;
	if (status < 0 || status > 255)
		return err_set(kit->err, -EINVAL, "returncode %lld is not 0 to 255",
			       (long long)status);
	kit_log("Error stage will now return error: %d", (int)status);
	return (int)status;
}
