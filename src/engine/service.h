/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules that run on the host beside the engine (sources, inputs, later devices and
 * mounts), spoken to over a socket pair in osbuild's protocol.  Closing our end is how a
 * service is told to clean up and go; none outlives its handle.
 */
#pragma once

#include <jansson.h>

#include "engine/server.h"

struct service;

/*
 * struct service_listener - who is told while services are waited for; all may be NULL
 * @line:   a line that the service printed
 * @signal: what it signals before it replies
 */
struct service_listener {
	void (*line)(void *data, const char *id, const char *line);
	void (*signal)(void *data, const char *id, const json_t *value);
	void *data;
};

/*
 * service_start() - start the module at @path
 * @id:       "source/org.osbuild.curl"
 * @libdir:   where the module is from: Python modules find their library in it
 * @listener: borrowed
 */
int service_start(const char *path, const char *id, const char *libdir,
		  const struct service_listener *listener, struct service **ret_service,
		  struct cop_error *err);

/* service_end() - close its socket and wait until it has cleaned up: for @grace_ms, then
 * it is killed (-ETIMEDOUT).  It is freed in any case; NULL is fine.  Return: 0;
 * -EREMOTEIO with its last line when it failed at the end. */
int service_end(struct service *service, unsigned int grace_ms, struct cop_error *err);

/* service_stop() - the same, where nobody cares: for ten seconds, with @hurry for one.
 * Return: NULL. */
struct service *service_stop(struct service *service, bool hurry);

static inline void service_stopp(struct service **service)
{
	*service = service_stop(*service, false);
}
#define auto_service cleanup_with(service_stopp) struct service

/* service_request() - send a method call; the answer comes with services_wait() */
int service_request(struct service *service, const char *method, const json_t *arguments,
		    struct cop_error *err);

/*
 * services_wait() - until each of them has answered its request or failed
 * @server:    served meanwhile; may be NULL
 * @cancel_fd: readable: -EINTR; 0 or less: none
 */
int services_wait(struct service *const *services, size_t n_services,
		  struct server *server, int cancel_fd, struct cop_error *err);

/*
 * service_reply() - what it answered, as a new reference; once per request
 *
 * Return: 0; -EREMOTEIO (it reported an exception: the message is the exception's);
 * -EPIPE (it ended without an answer: with its last line); another negative errno.
 */
int service_reply(struct service *service, json_t **ret_reply, struct cop_error *err);
