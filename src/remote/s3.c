/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3-compatible storage.  Every attempt is signed anew; keys are encoded here, so that
 * what is signed is what is sent.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "digest/sha256.h"
#include "remote/credentials.h"
#include "remote/http.h"
#include "remote/listing.h"
#include "remote/sigv4.h"

#define LISTING_MAX (8 * MIB)

struct s3 {
	struct credentials credentials;
	char *region;
	char *bucket, *prefix; /* the prefix ends with '/', or is empty */
	char *scheme, *host,
		*root; /* of the endpoint: "https", "host:port", "/path" or "" */
	bool path_style;
};

static void s3_free(void *data)
{
	struct s3 *s3 = data;

	credentials_done(&s3->credentials);
	free(s3->region);
	free(s3->bucket);
	free(s3->prefix);
	free(s3->scheme);
	free(s3->host);
	free(s3->root);
	free(s3);
}

/* The path as it is sent and signed. */
static void append_path(const struct s3 *s3, const struct request *request,
			struct buf *path)
{
	(void)buf_append_text(path, s3->root);
	if (s3->path_style) {
		(void)buf_append_char(path, '/');
		url_append(path, s3->bucket, false);
	}
	(void)buf_append_char(path, '/');
	/* With a query the bucket itself is asked. */
	if (request->query)
		return;
	url_append(path, s3->prefix, true);
	url_append(path, request->key, true);
}

static const char *method_of(const struct request *request)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};

	return methods[request->method];
}

static int hash_body(const struct request *request, char hex[SHA256_HEX + 1],
		     struct cop_error *err)
{
	if (*request->body_sha256) {
		memcpy(hex, request->body_sha256, SHA256_HEX + 1);
		return 0;
	}
	return sha256_bytes(request->body ? request->body : "", request->body_size, hex,
			    err);
}

static int sign(const struct s3 *s3, const struct request *request, const char *host,
		const char *path, struct http_message *message, struct cop_error *err)
{
	const struct sigv4_keys keys = {.access = s3->credentials.access,
					.secret = s3->credentials.secret,
					.token = s3->credentials.token,
					.region = s3->region,
					.service = "s3"};
	char time[SIGV4_TIME_SIZE], payload[SHA256_HEX + 1];
	const struct sigv4_header headers[] = {{"host", host},
					       {"x-amz-content-sha256", payload},
					       {"x-amz-date", sigv4_time(time)},
					       {"x-amz-security-token", keys.token}};
	const struct sigv4_request signed_request = {
		.method = method_of(request),
		.path = path,
		.query = request->query ? request->query : "",
		.payload = payload,
		.headers = headers,
		.n_headers = keys.token ? 4 : 3};
	auto_buf authorization = {};
	int r = hash_body(request, payload, err);

	if (r == 0)
		r = sigv4_sign(&keys, &signed_request, time, &authorization, err);
	if (r < 0)
		return r;
	r = http_add_line(message, "Authorization: %s", buf_text(&authorization));
	for (size_t i = 0; i < signed_request.n_headers && r == 0; i++)
		r = http_add_line(message, "%s: %s", headers[i].name, headers[i].value);
	return r < 0 ? err_oom(err) : 0;
}

static int s3_prepare(void *data, const struct request *request,
		      struct http_message *message, struct cop_error *err)
{
	const struct s3 *s3 = data;
	auto_buf host = {}, path = {}, url = {};

	if (!s3->path_style)
		(void)buf_printf(&host, "%s.", s3->bucket);
	(void)buf_append_text(&host, s3->host);
	append_path(s3, request, &path);
	(void)buf_printf(&url, "%s://%s%s%s%s", s3->scheme, buf_text(&host),
			 buf_text(&path), request->query ? "?" : "",
			 request->query ? request->query : "");
	if (host.failed || path.failed || url.failed)
		return err_oom(err);
	message->url = buf_take(&url);
	return sign(s3, request, buf_text(&host), buf_text(&path), message, err);
}

/* The text between <name> and </name>, cut to fit. */
static bool find_element(const char *text, const char *name, char *value, size_t size)
{
	char open[32];
	const char *at;

	(void)snprintf(open, sizeof(open), "<%s>", name);
	at = strstr(text, open);
	if (!at)
		return false;
	at += strlen(open);
	(void)snprintf(value, size, "%.*s", (int)min_u64(strcspn(at, "<\r\n"), size - 1),
		       at);
	for (char *c = value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return true;
}

static int s3_explain(const struct buf *body, char *text, size_t size)
{
	char code[64] = "", message[200] = "";

	if (!find_element(buf_text(body), "Code", code, sizeof(code)))
		return 0;
	(void)find_element(buf_text(body), "Message", message, sizeof(message));
	(void)snprintf(text, size, "%s%s%s", code, *message ? ": " : "", message);
	if (strcmp(code, "NoSuchBucket") == 0)
		return -ENXIO;
	return strcmp(code, "InvalidAccessKeyId") == 0 ||
			       strcmp(code, "SignatureDoesNotMatch") == 0 ||
			       strcmp(code, "InvalidToken") == 0 ||
			       strcmp(code, "ExpiredToken") == 0
		       ? -EACCES
		       : 0;
}

/* --- listing --- */

struct listing {
	const struct s3 *s3;
	int (*visit)(void *data, const struct listed *listed);
	void *data;
	int64_t date;
};

static int64_t parse_time(const char *text)
{
	struct tm utc = {};

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &utc) ? timegm(&utc) : 0;
}

static int take_entry(void *data, const struct listing_entry *entry)
{
	const struct listing *listing = data;
	size_t prefix_size = strlen(listing->s3->prefix);
	int64_t modified = parse_time(entry->modified);
	struct listed listed = {.size = entry->size};

	/* Only what was asked for, whatever comes. */
	if (strncmp(entry->key, listing->s3->prefix, prefix_size) != 0 ||
	    strlen(entry->key + prefix_size) >= REQUEST_KEY_SIZE)
		return 0;
	listed.key = entry->key + prefix_size;
	if (modified > 0 && listing->date > 0)
		listed.age_seconds = listing->date - modified;
	return listing->visit(listing->data, &listed);
}

static int list_page(struct transport *transport, const char *prefix, char **token,
		     struct listing *listing, struct cop_error *err)
{
	auto_buf query = {};
	auto_request request;
	int r;

	if (*token) {
		(void)buf_append_text(&query, "continuation-token=");
		url_append(&query, *token, false);
		(void)buf_append_char(&query, '&');
	}
	(void)buf_append_text(&query, "list-type=2&prefix=");
	url_append(&query, listing->s3->prefix, false);
	url_append(&query, prefix, false);
	if (query.failed)
		return err_oom(err);
	request_init(&request, REQUEST_GET, "%s", prefix);
	request.query = query.data;
	request.limit = LISTING_MAX;
	r = transport_run(transport, &request, 1, err);
	if (r < 0)
		return r;
	if (request.result < 0)
		return err_copy(err, &request.error);
	listing->date = request.date;
	return listing_parse(buf_text(&request.data), request.data.size, take_entry,
			     listing, token, err);
}

static int s3_list(struct transport *transport, const char *prefix,
		   int (*visit)(void *data, const struct listed *listed), void *data,
		   struct cop_error *err)
{
	struct listing listing = {
		.s3 = http_data(transport), .visit = visit, .data = data};
	auto_free char *token = NULL;
	int r;

	do {
		r = list_page(transport, prefix, &token, &listing, err);
	} while (r == 0 && token);
	return r;
}

/* --- opening --- */

static char *copy_part(const char *text, size_t size)
{
	return strndup(text, size);
}

static const char *first_of(const char *a, const char *b, const char *c)
{
	return a && *a ? a : b && *b ? b : c;
}

static int read_url(struct s3 *s3, const char *url, struct cop_error *err)
{
	const char *bucket = url + strlen("s3://");
	size_t size = strcspn(bucket, "/"), prefix_size;
	const char *prefix = bucket + size;

	while (*prefix == '/')
		prefix++;
	prefix_size = strlen(prefix);
	while (prefix_size > 0 && prefix[prefix_size - 1] == '/')
		prefix_size--;
	if (size < 3 || size > 63 ||
	    strspn(bucket,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		   ".-_") < size ||
	    strspn(prefix,
		   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		   ".-_~/") < prefix_size)
		return err_set(err, -EINVAL,
			       "'%s' is not s3://BUCKET/PREFIX with a bucket of 3 to 63 "
			       "and a prefix of A-Z a-z 0-9 . - _ ~ and '/'",
			       url);
	s3->bucket = copy_part(bucket, size);
	if (asprintf(&s3->prefix, "%.*s%s", (int)prefix_size, prefix,
		     prefix_size > 0 ? "/" : "") < 0)
		s3->prefix = NULL;
	return s3->bucket && s3->prefix ? 0 : err_oom(err);
}

/* Default ports are not part of the host that is signed, as they are not sent. */
static void drop_port(char *host, const char *port)
{
	if (text_ends_with(host, port))
		host[strlen(host) - strlen(port)] = '\0';
}

static int read_endpoint(struct s3 *s3, const char *endpoint, struct cop_error *err)
{
	const char *host = strstr(endpoint, "://"), *root;
	size_t root_size;

	if (!host || (!text_starts_with(endpoint, "http://") &&
		      !text_starts_with(endpoint, "https://")))
		return err_set(err, -EINVAL, "'%s' is no endpoint: http(s)://HOST[:PORT]",
			       endpoint);
	s3->scheme = copy_part(endpoint, (size_t)(host - endpoint));
	host += 3;
	root = host + strcspn(host, "/");
	root_size = strlen(root);
	while (root_size > 0 && root[root_size - 1] == '/')
		root_size--;
	s3->host = copy_part(host, (size_t)(root - host));
	s3->root = copy_part(root, root_size);
	if (!s3->scheme || !s3->host || !s3->root)
		return err_oom(err);
	if (!*s3->host || strpbrk(s3->host, "@ ?#"))
		return err_set(err, -EINVAL, "'%s' is no endpoint: http(s)://HOST[:PORT]",
			       endpoint);
	drop_port(s3->host, strcmp(s3->scheme, "https") == 0 ? ":443" : ":80");
	return 0;
}

static int configure(struct s3 *s3, const struct transport_options *options,
		     struct cop_error *err)
{
	const char *endpoint = first_of(options->endpoint, getenv("AWS_ENDPOINT_URL_S3"),
					getenv("AWS_ENDPOINT_URL"));
	char standard[128];
	int r = read_url(s3, options->url, err);

	if (r == 0)
		r = credentials_find(options->profile, &s3->credentials, err);
	if (r < 0)
		return r;
	s3->region = strdup(
		first_of(options->region,
			 first_of(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"),
				  s3->credentials.region),
			 "us-east-1"));
	if (!s3->region)
		return err_oom(err);
	(void)snprintf(standard, sizeof(standard), "https://s3.%.64s.amazonaws.com",
		       s3->region);
	s3->path_style = options->path_style;
	return read_endpoint(s3, endpoint && *endpoint ? endpoint : standard, err);
}

int s3_transport_open(const struct transport_options *options,
		      struct transport **ret_transport, struct cop_error *err)
{
	static const struct http_backend backend = {.prepare = s3_prepare,
						    .explain = s3_explain,
						    .list = s3_list,
						    .free = s3_free};
	struct s3 *s3 = calloc(1, sizeof(*s3));
	int r;

	if (!s3)
		return err_oom(err);
	r = configure(s3, options, err);
	if (r < 0) {
		s3_free(s3);
		return r;
	}
	return http_new(&backend, s3, options, true, ret_transport, err);
}
