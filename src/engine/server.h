/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small servers that modules may ask while they run: a listening socket and whoever
 * connects, served by the thread that waits for the module anyway.
 */
#pragma once

#include <jansson.h>

#include "json/comm.h"

struct server;

/*
 * server_new() - listen on @name in the directory @dir
 * @handle: answers one request with a new reference, or with none (*ret_reply stays
 *          NULL); what fails is told to the peer as {"error": message}, unless *ret_reply
 *          is set.  @fds came with it; those that it takes it replaces by -EBADF.
 */
typedef int (*server_handler)(void *data, const json_t *request, struct comm_fds *fds,
			      json_t **ret_reply, struct cop_error *err);

int server_new(const char *dir, const char *name, server_handler handle, void *data,
	       struct server **ret_server, struct cop_error *err);

/* server_free() - closes every connection and unlinks the socket; NULL is fine */
struct server *server_free(struct server *server);
DEFINE_AUTO_PTR(server)

/* server_fd() - readable when server_dispatch() has something to do; borrowed */
int server_fd(const struct server *server);

/* server_path() - where peers connect, at most 107 bytes; borrowed */
const char *server_path(const struct server *server);

/* server_dispatch() - serve what is there, without waiting.  Misbehaving peers lose their
 * connection. */
int server_dispatch(struct server *server, struct cop_error *err);
