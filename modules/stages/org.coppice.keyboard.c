/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the keyboard, where console-setup and X look for it. */
#include "modkit/options.h"
#include "modkit/root.h"
#include "modules/stages/stages.h"

#define KEYBOARD "etc/default/keyboard"

int stage_keyboard(struct kit *kit)
{
	const char *layout = NULL, *variant = "", *model = "pc105", *xkb_options = "";
	const struct option options[] = {
		NEEDED_TEXT("layout", layout),
		OPTION_TEXT("variant", variant),
		OPTION_TEXT("model", model),
		OPTION_TEXT("options", xkb_options),
	};
	auto_buf text = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = options_one_line(layout, "layout", "\"$`\\", kit->err);
	if (r == 0)
		r = options_one_line(variant, "variant", "\"$`\\", kit->err);
	if (r == 0)
		r = options_one_line(model, "model", "\"$`\\", kit->err);
	if (r == 0)
		r = options_one_line(xkb_options, "options", "\"$`\\", kit->err);
	if (r < 0)
		return r;
	(void)buf_printf(&text,
			 "# See keyboard(5).\n\nXKBMODEL=\"%s\"\nXKBLAYOUT=\"%s\"\n"
			 "XKBVARIANT=\"%s\"\nXKBOPTIONS=\"%s\"\n\nBACKSPACE=\"guess\"\n",
			 model, layout, variant, xkb_options);
	if (text.failed)
		return err_oom(kit->err);
	r = root_make_dirs(kit->tree_fd, "etc/default", 0755, kit->err);
	return r < 0 ? r
		     : root_replace(kit->tree_fd, KEYBOARD, text.data, text.size, 0644,
				    kit->err);
}
