/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/status.h"

#include "modkit/options.h"
#include "json/json.h"

int status_of_options(struct kit *kit, const char *what)
{
	int64_t status = 255;
	const struct option options[] = {OPTION_INTEGER("returncode", status)};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	if (status < 0 || status > 255)
		return err_set(kit->err, -EINVAL, "returncode %lld is not 0 to 255",
			       (long long)status);
	kit_log("%s will now return error: %d", what, (int)status);
	return (int)status;
}

int status_tell_options(struct kit *kit, const char *prefix)
{
	auto_buf text = {};
	int r = json_write(kit->options, 0, &text, kit->err);

	if (r == 0)
		kit_log("%s%s", prefix, buf_text(&text));
	return r;
}
