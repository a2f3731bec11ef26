/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing happens to the tree; the options are told in the log. */
#include "modules/stages/stages.h"
#include "json/json.h"

int stage_noop(struct kit *kit)
{
	auto_buf text = {};
	int r = json_write(kit->options, 0, &text, kit->err);

	if (r == 0)
		kit_log("%s", buf_text(&text));
	return r;
}
