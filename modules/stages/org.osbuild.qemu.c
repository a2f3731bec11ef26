/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images in other formats. */
#include <string.h>

#include "modkit/options.h"
#include "modules/stages/diskimage.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static int read_qcow2(struct kit *kit, const json_t *format, struct buf *settings,
		      bool *compress)
{
	const char *type, *compat = "";
	const struct option options[] = {OPTION_TEXT("type", type),
					 OPTION_FLAG("compression", *compress),
					 OPTION_TEXT("compat", compat)};
	int r;

	*compress = true;
	r = options_only(format, "format", options, ARRAY_SIZE(options), kit->err);
	if (r == 0 && *compat)
		r = buf_printf(settings, ",compat=%s", compat);
	return r;
}

static int read_vmdk(struct kit *kit, const json_t *format, struct buf *settings,
		     bool *compress)
{
	const char *type, *adapter = "", *subformat = "";
	bool compat6 = false;
	const struct option options[] = {
		OPTION_TEXT("type", type), OPTION_FLAG("compression", *compress),
		OPTION_FLAG("compat6", compat6), OPTION_TEXT("adapter_type", adapter),
		OPTION_TEXT("subformat", subformat)};
	int r;

	*compress = true;
	r = options_only(format, "format", options, ARRAY_SIZE(options), kit->err);
	if (r == 0 && *adapter)
		r = buf_printf(settings, ",adapter_type=%s", adapter);
	if (r == 0 && compat6)
		r = buf_append_text(settings, ",compat6");
	if (r == 0 && *subformat)
		r = buf_printf(settings, ",subformat=%s", subformat);
	return r;
}

static int read_vpc(struct kit *kit, const json_t *format, struct buf *settings,
		    bool *compress)
{
	const char *type, *subformat = "fixed";
	bool force_size = true;
	const struct option options[] = {OPTION_TEXT("type", type),
					 OPTION_FLAG("force_size", force_size),
					 OPTION_TEXT("subformat", subformat)};
	int r = options_only(format, "format", options, ARRAY_SIZE(options), kit->err);

	(void)compress;
	return r == 0 ? buf_printf(settings, ",subformat=%s%s", subformat,
				   force_size ? ",force_size" : "")
		      : r;
}

static int read_plain(struct kit *kit, const json_t *format, struct buf *settings,
		      bool *compress)
{
	const char *type;
	const struct option options[] = {OPTION_TEXT("type", type)};

	(void)settings;
	(void)compress;
	return options_only(format, "format", options, ARRAY_SIZE(options), kit->err);
}

int stage_qemu(struct kit *kit)
{
	static const struct {
		const char *type;
		int (*read)(struct kit *kit, const json_t *format, struct buf *settings,
			    bool *compress);
	} formats[] = {{"qcow2", read_qcow2},
		       {"vdi", read_plain},
		       {"vmdk", read_vmdk},
		       {"vpc", read_vpc},
		       {"vhdx", read_plain}};
	struct diskimage_format how = {};
	const char *filename = NULL, *type = NULL;
	json_t *format = NULL;
	const struct option options[] = {NEEDED_TEXT("filename", filename),
					 NEEDED_OBJECT("format", format)};
	auto_free char *source = NULL;
	auto_buf settings = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = json_get_string(format, "type", "format", &type, kit->err);
	if (r == 0)
		r = kit_input_file(kit, "image", &source);
	if (r != 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i].type, type) != 0)
			continue;
		r = formats[i].read(kit, format, &settings, &how.compress);
		if (r == 0)
			r = options_one_line(buf_text(&settings), "format", " ",
					     kit->err);
		how.type = type;
		/* Without the first comma. */
		how.settings = settings.size ? settings.data + 1 : "";
		return r == 0 ? diskimage_convert(kit, source, &how, filename) : r;
	}
	return err_set(kit->err, -EINVAL, "format '%s' is not known", type);
}
