/* SPDX-License-Identifier: Apache-2.0 */
/* The device modules of the host program; each is as struct service_module says. */
#pragma once

#include "modkit/service.h"

int device_loopback(struct service_call *call, const char *method, json_t *arguments,
		    json_t **ret_reply, struct cop_error *err);
int device_loopback_stop(struct service_call *call, struct cop_error *err);
