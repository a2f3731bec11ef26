/* SPDX-License-Identifier: Apache-2.0 */
/* v1/config: that a place is a remote, of which format, and which one. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/text.h"
#include "remote/private.h"
#include "json/json.h"

#define CONFIG_KEY "v1/config"
#define CONFIG_MAX (64 * KIB)
#define ID_BYTES   16

static int bad(const struct remote *remote, const char *why, struct cop_error *err)
{
	return err_set(err, -EBADMSG, "'%s': its 'v1/config' is not that of a remote: %s",
		       remote_url(remote), why);
}

static int check_needs(const struct remote *remote, const json_t *json,
		       struct cop_error *err)
{
	const json_t *needs = json_object_get(json, "needs");
	const char *first = json_string_value(json_array_get(needs, 0));

	if (needs && !json_is_array(needs))
		return bad(remote, "'needs' is no list", err);
	if (json_array_size(needs) > 0)
		return err_set(err, -EPROTONOSUPPORT,
			       "'%s' needs '%s', which this coppice does not know; a "
			       "newer one is needed",
			       remote_url(remote), first ? first : "?");
	return 0;
}

static int check_text(struct remote *remote, const struct buf *text,
		      struct cop_error *err)
{
	auto_json *json = NULL;
	const char *id, *known = json_string_value(json_object_get(remote->config, "id"));
	int r = json_read(buf_text(text), text->size, &json, err);

	if (r < 0)
		return bad(remote, "it is no JSON", err);
	if (!json_is_integer(json_object_get(json, "coppice-remote")))
		return bad(remote, "it has no format", err);
	if (json_integer_value(json_object_get(json, "coppice-remote")) != REMOTE_FORMAT)
		return err_set(
			err, -EPROTONOSUPPORT,
			"'%s' is a remote of format %lld, this coppice knows %d; a "
			"newer one is needed",
			remote_url(remote),
			json_integer_value(json_object_get(json, "coppice-remote")),
			REMOTE_FORMAT);
	r = check_needs(remote, json, err);
	if (r < 0)
		return r;
	id = json_string_value(json_object_get(json, "id"));
	if (!id || !text_is_hex(id) || strlen(id) != 2 * ID_BYTES)
		return bad(remote, "it has no id", err);
	if (known && strcmp(known, id) != 0)
		return err_set(err, -ESTALE,
			       "'%s' is another remote than the one that was added as "
			       "'%s'; remove that one and add it again",
			       remote_url(remote), remote->name);
	if (!known && json_object_set_new(remote->config, "id", json_string(id)) < 0)
		return err_oom(err);
	remote->config_is_checked = true;
	return 0;
}

int config_check(struct remote *remote, struct cop_error *err)
{
	auto_buf text = {};
	int r;

	if (remote->config_is_checked)
		return 0;
	r = transport_get(remote->transport, CONFIG_KEY, CONFIG_MAX, &text, NULL, err);
	if (r == -ENOENT)
		return err_set(err, -ENOENT,
			       "there is no remote at '%s' (no 'v1/config')",
			       remote_url(remote));
	return r < 0 ? r : check_text(remote, &text, err);
}

int config_begin(struct remote *remote, struct cop_error *err)
{
	uint8_t random[ID_BYTES];
	char id[2 * ID_BYTES + 1];
	auto_buf text = {};
	int r;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_errno(err, "read random bytes");
	(void)buf_printf(&text,
			 "{\"coppice-remote\": %d, \"id\": \"%s\", \"files\": "
			 "\"fs-verity-sha256\", \"needs\": []}\n",
			 REMOTE_FORMAT, hex_encode(random, sizeof(random), id));
	if (text.failed)
		return err_oom(err);
	r = transport_put(remote->transport, CONFIG_KEY, text.data, text.size, true, NULL,
			  err);
	if (r < 0 && r != -EEXIST)
		return r;
	return config_check(remote, err);
}
