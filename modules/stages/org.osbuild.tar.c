/* SPDX-License-Identifier: Apache-2.0 */
/* A tree as a tar archive. */
#include <string.h>

#include "modkit/options.h"
#include "modules/stages/stages.h"
#include "modules/stages/tarball.h"
#include "json/json.h"

static int read_format(struct kit *kit, const char *name, struct tarball *tarball)
{
	static const struct {
		const char *name;
		enum tar_format format;
	} formats[] = {
		{"gnu", TAR_GNU},     {"oldgnu", TAR_GNU}, {"posix", TAR_POSIX},
		{"ustar", TAR_USTAR}, {"v7", TAR_V7},
	};

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(formats[i].name, name) != 0)
			continue;
		tarball->format = formats[i].format;
		/* Only the posix format has a place for these; GNU tar switches too. */
		if (tarball->acls || tarball->selinux || tarball->xattrs)
			tarball->format = TAR_POSIX;
		return 0;
	}
	return err_set(kit->err, -EINVAL, "format '%s' is not known", name);
}

static int read_root_node(struct kit *kit, const char *root_node, struct tarball *tarball)
{
	tarball->with_root = !root_node || strcmp(root_node, "include") == 0;
	if (!tarball->with_root && strcmp(root_node, "omit") != 0)
		return err_set(kit->err, -EINVAL,
			       "root-node '%s' is neither 'include' nor 'omit'",
			       root_node);
	if (root_node && tarball->paths)
		return err_set(kit->err, -EINVAL,
			       "root-node and paths exclude each other");
	for (size_t i = 0; i < json_array_size(tarball->paths); i++)
		if (!json_is_text(json_array_get(tarball->paths, i)))
			return err_set(kit->err, -EINVAL, "'paths' must be strings");
	return 0;
}

int stage_tar(struct kit *kit)
{
	struct tarball tarball = {.acls = true, .selinux = true, .xattrs = true};
	const char *filename = NULL, *format = "gnu", *root_node = NULL;
	json_t *paths = NULL;
	const char *compression = "auto", *transform = "";
	bool sparse = false, numeric = true;
	const struct option options[] = {
		NEEDED_TEXT("filename", filename),
		OPTION_TEXT("format", format),
		OPTION_FLAG("acls", tarball.acls),
		OPTION_FLAG("selinux", tarball.selinux),
		OPTION_FLAG("xattrs", tarball.xattrs),
		OPTION_ARRAY("paths", paths),
		OPTION_FLAG("sparse", sparse),
		OPTION_TEXT("root-node", root_node),
		OPTION_TEXT("compression", compression),
		OPTION_TEXT("transform", transform),
		OPTION_FLAG("numeric-owner", numeric),
	};
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	tarball.paths = paths;
	if (r == 0 && *transform)
		r = err_set(kit->err, -EOPNOTSUPP,
			    "'transform' is not known to this stage: move the files "
			    "before, or use osbuild's stage");
	if (sparse)
		kit_log("holes are written as zeros: compression makes them small");
	if (r == 0)
		r = read_format(kit, format, &tarball);
	if (r == 0)
		r = read_root_node(kit, root_node, &tarball);
	return r == 0 ? tarball_file(kit, &tarball, filename,
				     strcmp(compression, "auto") == 0 ? NULL
								      : compression)
		      : r;
}
