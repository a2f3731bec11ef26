/* SPDX-License-Identifier: Apache-2.0 */
/* The source modules of the host program; each answers as struct service_module says. */
#pragma once

#include "modkit/service.h"

int source_curl(struct service_call *call, const char *method, json_t *arguments,
		json_t **ret_reply, struct cop_error *err);
int source_inline(struct service_call *call, const char *method, json_t *arguments,
		  json_t **ret_reply, struct cop_error *err);
int source_deb(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err);
