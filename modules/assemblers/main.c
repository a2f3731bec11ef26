/* SPDX-License-Identifier: Apache-2.0 */
/* Every assembler in one static program; apart from the stages, because some names are
 * both. */
#include "modules/assemblers/assemblers.h"

static const struct kit_module modules[] = {
	{"org.osbuild.error", assembler_error}, {"org.osbuild.noop", assembler_noop},
	{"org.osbuild.qemu", assembler_qemu},	{"org.osbuild.rawfs", assembler_rawfs},
	{"org.osbuild.tar", assembler_tar},
};

int main(int argc, char **argv)
{
	return kit_main(modules, ARRAY_SIZE(modules), argc, argv);
}
