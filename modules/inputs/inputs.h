/* SPDX-License-Identifier: Apache-2.0 */
/* The input modules of the host program; each answers as struct service_module says. */
#pragma once

#include "modkit/service.h"

int input_files(struct service_call *call, const char *method, json_t *arguments,
		json_t **ret_reply, struct cop_error *err);
int input_noop(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err);
int input_tree(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err);
