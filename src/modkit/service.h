/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What modules on the host share: the other end of the engine's service protocol.  A
 * service answers one method call after the other until the engine closes its socket, and
 * does not outlive the engine.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct service_call;

/*
 * struct service_module - one entry of the host program's table, found by argv[0]
 * @call: answer one method call: *ret_reply is a new reference; what fails goes to the
 *        engine as an exception with the message of @err
 * @stop: undo what is still to be undone, after the last call, however the engine ended;
 *        what fails is the service's exit status 1 and last line.  NULL: nothing is, and
 *        the service may be killed with the engine.
 */
struct service_module {
	const char *name;
	int (*call)(struct service_call *call, const char *method, json_t *arguments,
		    json_t **ret_reply, struct cop_error *err);
	int (*stop)(struct service_call *call, struct cop_error *err);
};

/* service_main() - serve until the engine is gone; returns the exit status */
int service_main(const struct service_module *modules, size_t n_modules, int argc,
		 char **argv);

/* service_name() - the module's name; borrowed */
const char *service_name(const struct service_call *call);

/* service_state() - where a module keeps what lives between its calls; NULL at first */
void **service_state(struct service_call *call);

/* service_cancel_fd() - readable when the engine has gone or wants us to stop: for
 * poll(2) and process_run(); borrowed */
int service_cancel_fd(const struct service_call *call);

/* service_is_over() - the engine does not wait any more: clean up and return -EINTR */
bool service_is_over(const struct service_call *call);

/* service_progress() - tell the engine, at most every tenth of a second and when @done is
 * @total; as struct cop_progress */
void service_progress(struct service_call *call, const char *what, uint64_t done,
		      uint64_t total, const char *unit);
