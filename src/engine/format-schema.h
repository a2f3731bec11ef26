/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json/schema.h"

/* format_schema() - what manifests of @version (1 or 2) look like, without what modules
 * say of their parts.  It constrains what osbuild's own does, in the same order. */
int format_schema(unsigned int version, struct schema **ret_schema,
		  struct cop_error *err);
