/* SPDX-License-Identifier: Apache-2.0 */
/* Runners: which one serves a distribution, and which distribution the host is. */
#pragma once

#include "engine/engine.h"

/* runner_find() - name of the best runner for @name, as modules_find_runner() has it;
 * freed by the caller.  -ENOENT: none serves it. */
int runner_find(const struct engine_places *places, const char *name, char **ret_name,
		struct cop_error *err);

/* runner_of_host() - "org.osbuild.debian12"; freed by the caller */
int runner_of_host(char **ret_name, struct cop_error *err);

/* host_release() - ID and VERSION_ID of os-release, "linux" and "" where they are
 * missing; freed by the caller */
int host_release(char **ret_id, char **ret_version, struct cop_error *err);
