/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values over AF_UNIX sockets of type SOCK_SEQPACKET, as osbuild's modules speak:
 * one packet is one value, fds travel beside it in one SCM_RIGHTS array, and what is too
 * large for a packet travels in a memfd that comes first in that array.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"

/* The kernel's SCM_MAX_FD. */
#define COMM_FDS_MAX 253

/* struct comm_fds - received fds, owned: what is not taken is closed by comm_fds_done()
 */
struct comm_fds {
	int fds[COMM_FDS_MAX];
	size_t n;
};

void comm_fds_done(struct comm_fds *fds);
#define auto_comm_fds cleanup_with(comm_fds_done) struct comm_fds

/*
 * comm_send() - one value and @n_fds borrowed fds
 *
 * Waits while the peer's queue is full.  Return: 0; -EPIPE or -ECONNRESET (the peer is
 * gone); -E2BIG (too many fds or too much JSON); another negative errno.
 */
int comm_send(int socket, const json_t *message, const int *fds, size_t n_fds,
	      struct cop_error *err);

/*
 * comm_receive() - the next value
 * @ret_message: a new reference
 * @ret_fds:     the fds beside it; NULL: they are closed
 *
 * Return: 1; 0 when the peer has closed; -EAGAIN on a non-blocking socket with nothing
 * there; -EBADMSG (not JSON, or cut off); another negative errno.
 */
int comm_receive(int socket, json_t **ret_message, struct comm_fds *ret_fds,
		 struct cop_error *err);

/* comm_listen() - a listening socket bound to @path (at most 107 bytes), not blocking.
 * Return: the fd or a negative errno. */
int comm_listen(const char *path, struct cop_error *err);

/* comm_connect() - Return: the fd or a negative errno */
int comm_connect(const char *path, struct cop_error *err);
