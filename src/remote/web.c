/* SPDX-License-Identifier: Apache-2.0 */
/* A plain web server, which is only read from. */
#include <string.h>

#include "remote/http.h"

void url_append(struct buf *buf, const char *text, bool keep_slash)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *text; text++)
		if (strchr(plain, *text) || (keep_slash && *text == '/'))
			(void)buf_append_char(buf, *text);
		else
			(void)buf_printf(buf, "%%%02X", (unsigned char)*text);
}

static int plain_prepare(void *data, const struct request *request,
			 struct http_message *message, struct cop_error *err)
{
	auto_buf url = {};

	(void)buf_append_text(&url, data);
	(void)buf_append_char(&url, '/');
	url_append(&url, request->key, true);
	message->url = buf_take(&url);
	return message->url ? 0 : err_oom(err);
}

int http_transport_open(const struct transport_options *options,
			struct transport **ret_transport, struct cop_error *err)
{
	static const struct http_backend backend = {
		.prepare = plain_prepare, .free = free, .follow = true};
	char *base = strdup(options->url);

	if (!base)
		return err_oom(err);
	for (size_t n = strlen(base); n > 0 && base[n - 1] == '/'; n--)
		base[n - 1] = '\0';
	return http_new(&backend, base, options, false, ret_transport, err);
}
