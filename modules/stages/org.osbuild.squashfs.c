/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as a squashfs file. */
#include "modkit/options.h"
#include "modules/stages/image-source.h"
#include "modules/stages/stages.h"

static int add_compression(struct kit *kit, const json_t *json, struct words *words)
{
	const char *method = NULL, *bcj = NULL;
	json_t *more = NULL;
	const struct option options[] = {NEEDED_TEXT("method", method),
					 OPTION_OBJECT("options", more)};
	const struct option more_options[] = {OPTION_TEXT("bcj", bcj)};
	int r;

	if (!json)
		return 0;
	r = options_only(json, "compression", options, ARRAY_SIZE(options), kit->err);
	if (r == 0 && more)
		r = options_only(more, "compression options", more_options,
				 ARRAY_SIZE(more_options), kit->err);
	if (r < 0)
		return r;
	words_add(words, "-comp", method, NULL);
	if (bcj)
		words_add(words, "-Xbcj", bcj, NULL);
	return 0;
}

static int add_excluded(struct kit *kit, const json_t *paths, struct words *words)
{
	int r = 0;

	if (json_array_size(paths) > 0)
		words_add(words, "-regex", "-e", NULL);
	for (size_t i = 0; r == 0 && i < json_array_size(paths); i++) {
		const char *path = NULL;

		r = options_text_at(paths, i, "exclude_paths", &path, kit->err);
		if (r == 0)
			words_add(words, path, NULL);
	}
	return r;
}

int stage_squashfs(struct kit *kit)
{
	const char *filename = NULL, *location = NULL;
	json_t *compression = NULL, *excluded = NULL;
	const struct option options[] = {NEEDED_TEXT("filename", filename),
					 OPTION_TEXT("source", location),
					 OPTION_OBJECT("compression", compression),
					 OPTION_ARRAY("exclude_paths", excluded)};
	cleanup_with(image_source_done) struct image_source source = {
		.source_fd = -EBADF, .parent_fd = -EBADF};
	auto_free const char **argv = NULL;
	auto_words words = {};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = image_source_open(kit, location, filename, &source);
	if (r < 0)
		return r;
	words_add(&words, "mksquashfs", source.path, source.target, "-no-progress", NULL);
	r = add_compression(kit, compression, &words);
	if (r == 0)
		r = add_excluded(kit, excluded, &words);
	if (r == 0)
		r = words_list(&words, &argv, kit->err);
	return r == 0 ? tool_run(kit, &(struct tool){.argv = argv,
						     .package = "squashfs-tools",
						     .env = source.env})
		      : r;
}
