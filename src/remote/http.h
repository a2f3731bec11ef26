/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over HTTP: connections that are kept, several at once, tried again where that
 * may help.  http.c is the only file that knows libcurl.
 */
#pragma once

#include "remote/transport.h"

/* struct http_message - URL and further header lines of one attempt */
#define HTTP_LINES_MAX 8
struct http_message {
	char *url;
	char *lines[HTTP_LINES_MAX];
	size_t n_lines;
};

/* http_add_line() - a header line as printf(3) makes it; -ENOMEM, -E2BIG */
int http_add_line(struct http_message *message, const char *format, ...)
	printf_like(2, 3);

/*
 * struct http_backend - what makes requests of a kind of server
 * @prepare: called for every attempt, as signatures do not last
 * @explain: what the body of a refusal says, for people; returns a negative errno that is
 *	     better than what the status says, or 0; may be NULL
 * @list:    see struct transport_ops
 * @free:    @data; may be NULL
 * @follow:  redirections
 */
struct http_backend {
	int (*prepare)(void *data, const struct request *request,
		       struct http_message *message, struct cop_error *err);
	int (*explain)(const struct buf *body, char *text, size_t size);
	int (*list)(struct transport *transport, const char *prefix,
		    int (*visit)(void *data, const struct listed *listed), void *data,
		    struct cop_error *err);
	void (*free)(void *data);
	bool follow;
};

/* http_new() - takes @data over, in any case */
int http_new(const struct http_backend *backend, void *data,
	     const struct transport_options *options, bool is_writable,
	     struct transport **ret_transport, struct cop_error *err);

/* http_data() - what http_new() was given */
void *http_data(struct transport *transport);

/* url_append() - percent-encoded but for A-Z a-z 0-9 - . _ ~ and, with @keep_slash, '/'
 */
void url_append(struct buf *buf, const char *text, bool keep_slash);
