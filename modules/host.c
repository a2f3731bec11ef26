/* SPDX-License-Identifier: Apache-2.0 */
/* Every module that runs on the host in one program, found by the name under which it is
 * called. */
#include "modules/inputs/inputs.h"
#include "modules/sources/sources.h"

static const struct service_module modules[] = {
	{"org.coppice.deb", source_deb},    {"org.osbuild.curl", source_curl},
	{"org.osbuild.files", input_files}, {"org.osbuild.inline", source_inline},
	{"org.osbuild.tree", input_tree},
};

int main(int argc, char **argv)
{
	return service_main(modules, ARRAY_SIZE(modules), argc, argv);
}
