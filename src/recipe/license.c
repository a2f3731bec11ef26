/* SPDX-License-Identifier: Apache-2.0 */
/* Licenses as Debian's machine-readable copyright files name them, as SPDX does. */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "recipe/sbom.h"

static const char *const names[][2] = {
	{"Apache-2.0", "Apache-2.0"},
	{"Artistic-2.0", "Artistic-2.0"},
	{"BSD-2-clause", "BSD-2-Clause"},
	{"BSD-3-clause", "BSD-3-Clause"},
	{"BSL-1.0", "BSL-1.0"},
	{"CC0-1.0", "CC0-1.0"},
	{"Expat", "MIT"},
	{"GPL-1", "GPL-1.0-only"},
	{"GPL-1+", "GPL-1.0-or-later"},
	{"GPL-2", "GPL-2.0-only"},
	{"GPL-2+", "GPL-2.0-or-later"},
	{"GPL-3", "GPL-3.0-only"},
	{"GPL-3+", "GPL-3.0-or-later"},
	{"ISC", "ISC"},
	{"LGPL-2", "LGPL-2.0-only"},
	{"LGPL-2+", "LGPL-2.0-or-later"},
	{"LGPL-2.1", "LGPL-2.1-only"},
	{"LGPL-2.1+", "LGPL-2.1-or-later"},
	{"LGPL-3", "LGPL-3.0-only"},
	{"LGPL-3+", "LGPL-3.0-or-later"},
	{"MIT", "MIT"},
	{"MPL-2.0", "MPL-2.0"},
	{"OFL-1.1", "OFL-1.1"},
	{"Python-2.0", "Python-2.0"},
	{"Unlicense", "Unlicense"},
	{"Zlib", "Zlib"},
};

static const char *spdx_name(const char *name, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i][0]) == size &&
		    strncasecmp(names[i][0], name, size) == 0)
			return names[i][1];
	return NULL;
}

static size_t line_size(const char *line)
{
	size_t size = strcspn(line, "\n");

	while (size > 0 && strchr(" \t\r", line[size - 1]))
		size--;
	return size;
}

const char *sbom_license(const char *copyright)
{
	static const char field[] = "License:";
	const char *found = NULL;

	/* The first field says that the rest can be read at all. */
	if (!text_starts_with(copyright, "Format:") &&
	    !text_starts_with(copyright, "Format-Specification:"))
		return NULL;
	for (const char *line = copyright; *line;
	     line += strcspn(line, "\n"), line += *line == '\n') {
		const char *value = line + strlen(field), *name;

		if (strncasecmp(line, field, strlen(field)) != 0)
			continue;
		value += strspn(value, " \t");
		name = spdx_name(value, line_size(value));
		if (!name || (found && strcmp(found, name) != 0))
			return NULL;
		found = name;
	}
	return found;
}
