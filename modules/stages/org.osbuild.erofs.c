/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as an EROFS file. */
#include "modkit/options.h"
#include "modules/stages/image-source.h"
#include "modules/stages/stages.h"

static int add_compression(struct kit *kit, const json_t *json, struct words *words)
{
	const char *method = NULL;
	int64_t level = 0;
	const struct option options[] = {NEEDED_TEXT("method", method),
					 OPTION_INTEGER("level", level)};
	int r;

	if (!json)
		return 0;
	r = options_only(json, "compression", options, ARRAY_SIZE(options), kit->err);
	if (r < 0)
		return r;
	words_add(words, "-z", NULL);
	if (level)
		words_printf(words, "%s,%lld", method, (long long)level);
	else
		words_add(words, method, NULL);
	return 0;
}

static int add_extended(struct kit *kit, const json_t *names, struct words *words)
{
	auto_buf list = {};
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(names); i++) {
		const char *name = NULL;

		r = options_text_at(names, i, "options", &name, kit->err);
		if (r == 0)
			r = buf_printf(&list, "%s%s", i ? "," : "", name);
	}
	if (r == 0 && list.size > 0)
		words_add(words, "-E", list.data, NULL);
	return r;
}

static int add_excluded(struct kit *kit, const json_t *paths, struct words *words)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(paths); i++) {
		const char *path = NULL;

		r = options_text_at(paths, i, "exclude_paths", &path, kit->err);
		if (r == 0)
			words_add(words, "--exclude-regex", path, NULL);
	}
	return r;
}

int stage_erofs(struct kit *kit)
{
	const char *filename = NULL, *location = NULL;
	json_t *compression = NULL, *excluded = NULL, *extended = NULL;
	int64_t cluster = 0;
	const struct option options[] = {
		NEEDED_TEXT("filename", filename),
		OPTION_TEXT("source", location),
		OPTION_OBJECT("compression", compression),
		OPTION_INTEGER("cluster-size", cluster),
		OPTION_ARRAY("options", extended),
		OPTION_ARRAY("exclude_paths", excluded),
	};
	cleanup_with(image_source_done) struct image_source source = {
		.source_fd = -EBADF, .parent_fd = -EBADF};
	auto_free const char **argv = NULL;
	auto_words words = {};
	char uuid[KIT_UUID_SIZE];
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r == 0)
		r = image_source_open(kit, location, filename, &source);
	if (r < 0)
		return r;
	/* Without -U it would be random. */
	words_add(&words, "mkfs.erofs", source.target, source.path, "--quiet", "-U",
		  kit_uuid(kit, 1, uuid), NULL);
	r = add_compression(kit, compression, &words);
	if (r == 0)
		r = add_extended(kit, extended, &words);
	if (cluster) {
		words_add(&words, "-C", NULL);
		words_printf(&words, "%lld", (long long)cluster);
	}
	if (r == 0)
		r = add_excluded(kit, excluded, &words);
	if (r == 0)
		r = words_list(&words, &argv, kit->err);
	return r == 0 ? tool_run(kit, &(struct tool){.argv = argv,
						     .package = "erofs-utils",
						     .env = source.env})
		      : r;
}
