/* SPDX-License-Identifier: Apache-2.0 */
/* One license of a machine-readable copyright file, and nothing that is a guess. */
#include "testlib.h"

#include "recipe/sbom.h"

#define FORMAT                                                                         \
	"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n" \
	"Upstream-Name: x\n\n"

static void one_license_has_spdxs_name(void **state)
{
	(void)state;
	assert_string_equal(sbom_license(FORMAT "Files: *\nLicense: GPL-2+\n text\n"),
			    "GPL-2.0-or-later");
	assert_string_equal(sbom_license(FORMAT "Files: *\nLicense: Expat\n\n"
						"Files: debian/*\nlicense:  expat \n"),
			    "MIT");
	assert_string_equal(sbom_license(FORMAT "License: BSD-3-Clause"), "BSD-3-Clause");
}

static void what_is_not_clear_is_not_said(void **state)
{
	(void)state;
	assert_null(sbom_license(""));
	assert_null(sbom_license(FORMAT));
	assert_null(sbom_license("This is free software.\nLicense: Expat\n"));
	assert_null(sbom_license(FORMAT "License: Expat\n\nLicense: GPL-2\n"));
	assert_null(sbom_license(FORMAT "License: GPL-2+ or Expat\n"));
	assert_null(sbom_license(FORMAT "License: public-domain\n"));
	assert_null(sbom_license(FORMAT "License:\n"));
	assert_null(sbom_license(FORMAT " License: Expat\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_license_has_spdxs_name),
		cmocka_unit_test(what_is_not_clear_is_not_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
