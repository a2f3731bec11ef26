/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a place can do, found out by doing it: some servers accept a condition and ignore
 * it, and then two writers would not notice each other.
 */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/text.h"
#include "remote/private.h"

#define FIRST  "the first of two"
#define SECOND "the second of two"

struct probe {
	struct remote *remote;
	char key[64];
	bool was_listed;
};

static int put(const struct probe *probe, const char *text, bool if_absent,
	       const char *if_match, struct cop_error *err)
{
	return transport_put(probe->remote->transport, probe->key, text, strlen(text),
			     if_absent, if_match, err);
}

/* 1: what is there now is @text */
static int holds(const struct probe *probe, const char *text, char *etag,
		 struct cop_error *err)
{
	auto_buf body = {};
	int r = transport_get(probe->remote->transport, probe->key, ENTRY_MAX, &body,
			      etag, err);

	return r < 0 ? r : strcmp(buf_text(&body), text) == 0;
}

/* -ESTALE, too, is the answer to a request that is sent again after the answer to the
 * first one was lost. */
static int replace(const struct probe *probe, const char *etag)
{
	char now[REQUEST_ETAG_SIZE];
	struct cop_error ignored;
	int r = put(probe, SECOND, false, etag, &ignored);

	return r == -ESTALE && holds(probe, SECOND, now, &ignored) > 0 ? 0 : r;
}

/* 1: a second one is refused, and a replacement is made only of what was seen */
static int try_conditions(const struct probe *probe, struct cop_error *err)
{
	char etag[REQUEST_ETAG_SIZE] = "", later[REQUEST_ETAG_SIZE] = "";
	struct cop_error ignored;
	int r = put(probe, FIRST, true, NULL, err);

	/* A server that does not know conditions at all may refuse them. */
	if (r == -EIO || r == -EOPNOTSUPP)
		return put(probe, FIRST, false, NULL, err);
	/* The key is nobody else's: the answer to its first PUT was lost. */
	if (r == 0 || r == -EEXIST)
		r = holds(probe, FIRST, etag, err);
	if (r <= 0 || !*etag)
		return r < 0 ? r : 0;
	if (put(probe, SECOND, true, NULL, &ignored) != -EEXIST)
		return 0;
	r = replace(probe, etag);
	if (r == -ESTALE) {
		probe->remote->transport->bare_etags = true;
		r = replace(probe, etag);
	}
	if (r < 0)
		return 0;
	if (put(probe, FIRST, false, etag, &ignored) != -ESTALE)
		return 0;
	r = holds(probe, SECOND, later, err);
	return r < 0 ? r : r && strcmp(etag, later) != 0;
}

static int take(void *data, const struct listed *listed)
{
	struct probe *probe = data;

	if (strcmp(listed->key, probe->key) == 0)
		probe->was_listed = true;
	return 0;
}

static int try_range(struct remote *remote, const char *key, bool *ret_can,
		     struct cop_error *err)
{
	auto_request request;
	int r;

	request_init(&request, REQUEST_GET, "%s", key);
	request.offset = 4;
	request.length = 5;
	r = transport_run(remote->transport, &request, 1, err);
	*ret_can = r == 0 && request.result == 0 && request.data.size == 5;
	return r;
}

static int try_writing(struct probe *probe, struct remote_abilities *abilities,
		       struct cop_error *err)
{
	struct remote *remote = probe->remote;
	int r = try_conditions(probe, err);

	if (r < 0)
		return r;
	abilities->can_write = true;
	abilities->has_conditions = r > 0;
	r = transport_list(remote->transport, "v1/t/", take, probe, err);
	if (r < 0)
		return r;
	abilities->can_list = probe->was_listed;
	r = try_range(remote, probe->key, &abilities->can_range, err);
	if (r == 0)
		r = transport_delete(remote->transport, probe->key, err);
	if (r == 0 && !abilities->can_list)
		r = err_set(err, -EIO, "what was written is not listed");
	return r;
}

int probe_run(struct remote *remote, struct remote_abilities *ret_abilities,
	      struct cop_error *err)
{
	struct remote_abilities abilities = {};
	struct probe probe = {.remote = remote};
	char random_hex[33];
	uint8_t random[16];
	int r;

	remote->transport->bare_etags = false;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_errno(err, "read random bytes");
	(void)snprintf(probe.key, sizeof(probe.key), "v1/t/%s",
		       hex_encode(random, sizeof(random), random_hex));
	r = remote->transport->is_writable
		    ? try_writing(&probe, &abilities, err)
		    : try_range(remote, "v1/config", &abilities.can_range, err);
	if (r == 0 && !abilities.can_range)
		r = err_set(err, -EIO, "parts of what is there cannot be read (ranges)");
	if (r == 0)
		*ret_abilities = abilities;
	return r;
}
