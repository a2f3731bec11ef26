/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and stage keys: small documents that say which object is meant, who says so, and
 * how he signed it.  They are written last, so that what they name is there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "remote/private.h"
#include "json/json.h"

/* How often a name that others write to is tried again. */
#define RACES_MAX 16

void entry_done(struct entry *entry)
{
	json_decref(entry->json);
	entry->json = NULL;
}

char *entry_key(const char *kind, const char *name, char key[REQUEST_KEY_SIZE])
{
	if (strcmp(kind, "stage") == 0)
		(void)snprintf(key, REQUEST_KEY_SIZE, "v1/k/%.2s/%s", name, name);
	else
		(void)snprintf(key, REQUEST_KEY_SIZE, "v1/r/%s", name);
	return key;
}

/* What is signed.  No part can hold a newline. */
static char *statement(const char *kind, const char *name, const char *object,
		       const char *builder)
{
	auto_buf text = {};

	(void)buf_printf(&text, "coppice-signature 1\n%s %s\nobject %s\nbuilder %s\n",
			 kind, name, object, builder);
	return buf_take(&text);
}

static bool is_signed_by(const struct remote *remote, const struct entry *entry,
			 const char *object, const char *builder, const char *signature)
{
	auto_free char *text = statement(entry->kind, entry->name, object, builder);
	char key_name[256];

	if (!text || !remote_name_is_valid(builder))
		return false;
	(void)snprintf(key_name, sizeof(key_name), "keyring/%s.pem", builder);
	return sign_verify(remote->dir_fd, key_name, text, signature, NULL) == 1;
}

static int check_signature(const struct remote *remote, const struct entry *entry,
			   struct cop_error *err)
{
	const char *builder = json_string_value(json_object_get(entry->json, "builder"));
	const char *signature =
		json_string_value(json_object_get(entry->json, "signature"));
	const char *object = json_string_value(json_object_get(entry->json, "object"));

	if (!json_is_true(json_object_get(remote->config, "require-signatures")))
		return 0;
	if (builder && signature &&
	    is_signed_by(remote, entry, object, builder, signature))
		return 0;
	return err_set(err, -EKEYREJECTED,
		       "%s '%.64s' of remote '%s' is %s; it is not used", entry->kind,
		       entry->name, remote->name,
		       signature ? "not signed by a key of the keyring" : "not signed");
}

int entry_parse(const struct remote *remote, const struct buf *body, struct entry *entry,
		struct cop_error *err)
{
	int r = json_read(buf_text(body), body->size, &entry->json, err);

	if (r == 0 && json_is_integer(json_object_get(entry->json, "format")) &&
	    json_integer_value(json_object_get(entry->json, "format")) != REMOTE_FORMAT)
		return err_set(err, -EPROTONOSUPPORT,
			       "%s '%s' is of a later format; a newer coppice is needed",
			       entry->kind, entry->name);
	if (r < 0 || !digest_is(json_string_value(json_object_get(entry->json, "object")),
				&entry->object))
		return err_set(err, -EBADMSG, "%s '%s' of remote '%s' is damaged",
			       entry->kind, entry->name, remote->name);
	return check_signature(remote, entry, err);
}

int entry_get(struct remote *remote, struct entry *entry, struct cop_error *err)
{
	char key[REQUEST_KEY_SIZE];
	auto_buf body = {};
	int r = transport_get(remote->transport, entry_key(entry->kind, entry->name, key),
			      ENTRY_MAX, &body, entry->etag, err);

	if (r == -ENOENT)
		return err_set(err, -ENOENT, "remote '%s' has no %s '%s'", remote->name,
			       strcmp(entry->kind, "ref") == 0 ? "name" : "stage key",
			       entry->name);
	return r < 0 ? r : entry_parse(remote, &body, entry, err);
}

static int add_signature(const char *key, const char *text, json_t *json,
			 struct cop_error *err)
{
	auto_free char *signature = NULL;
	int r = sign_statement(key, text, &signature, err);

	if (r < 0)
		return r;
	return json_object_set_new(json, "signature", json_string(signature)) < 0
		       ? err_oom(err)
		       : 0;
}

static int sign(const struct remote *remote, const char *kind, const char *name,
		json_t *json, struct cop_error *err)
{
	const char *key = json_string_value(json_object_get(remote->config, "sign-key"));
	const char *builder = json_string_value(json_object_get(json, "builder"));
	const char *object = json_string_value(json_object_get(json, "object"));
	auto_free char *text = NULL;

	if (!key || !builder)
		return 0;
	text = statement(kind, name, object, builder);
	return text ? add_signature(key, text, json, err) : err_oom(err);
}

static int make_body(const struct remote *remote, const char *kind, const char *name,
		     const struct push_item *item, struct buf *body,
		     struct cop_error *err)
{
	const char *builder =
		json_string_value(json_object_get(remote->config, "builder"));
	char hex[COP_DIGEST_HEX + 1];
	auto_json *json =
		json_pack("{s:i, s:s, s:s, s:I, s:s*}", "format", REMOTE_FORMAT, kind,
			  name, "object", cop_digest_to_hex(&item->digest, hex),
			  "created", (json_int_t)time(NULL), "builder", builder);
	int r;

	if (!json)
		return err_oom(err);
	if (item->key && strcmp(kind, "stage") == 0 &&
	    ((item->stage &&
	      json_object_set_new(json, "id", json_string(item->stage)) < 0) ||
	     (item->meta && json_object_set(json, "meta", (json_t *)item->meta) < 0)))
		return err_oom(err);
	r = sign(remote, kind, name, json, err);
	if (r == 0)
		r = json_write(json, 0, body, err);
	if (r == 0 && body->size > ENTRY_MAX)
		r = err_set(err, -EFBIG, "%s '%s': too much is known of it", kind, name);
	return r;
}

/* Whatever is there is replaced, but never without having been seen. */
int entry_put_ref(struct remote *remote, const struct push_item *item,
		  struct cop_error *err)
{
	char key[REQUEST_KEY_SIZE];
	auto_buf body = {};
	int r = make_body(remote, "ref", item->ref, item, &body, err);

	(void)entry_key("ref", item->ref, key);
	for (int i = 0; r == 0 && i < RACES_MAX; i++) {
		char etag[REQUEST_ETAG_SIZE] = "";
		auto_buf before = {};

		r = transport_get(remote->transport, key, ENTRY_MAX, &before, etag, err);
		if (r < 0 && r != -ENOENT)
			return r;
		if (remote->has_conditions)
			r = transport_put(remote->transport, key, body.data, body.size,
					  r == -ENOENT, r == 0 && *etag ? etag : NULL,
					  err);
		else
			r = transport_put(remote->transport, key, body.data, body.size,
					  false, NULL, err);
		if (r != -EEXIST && r != -ESTALE)
			return r;
		r = 0;
	}
	return r < 0 ? r
		     : err_set(err, -EBUSY,
			       "others write to name '%s' of remote '%s' all the time",
			       item->ref, remote->name);
}

/* A key is written once.  That it names another tree means that a stage does not give
 * the same twice. */
int entry_put_key(struct remote *remote, const struct push_item *item,
		  struct cop_error *err)
{
	auto_entry there = {.kind = "stage", .name = item->key};
	char key[REQUEST_KEY_SIZE], hex[COP_DIGEST_HEX + 1], ours[COP_DIGEST_HEX + 1];
	auto_buf body = {};
	int r = make_body(remote, "stage", item->key, item, &body, err);

	if (r < 0)
		return r;
	r = remote->has_conditions ? -EEXIST : entry_get(remote, &there, err);
	if (remote->has_conditions || r == -ENOENT)
		r = transport_put(remote->transport, entry_key("stage", item->key, key),
				  body.data, body.size, remote->has_conditions, NULL,
				  err);
	if (r == -EEXIST)
		r = entry_get(remote, &there, err);
	/* What may not be used is not ours to replace. */
	if (r == -EKEYREJECTED || r == -ENOENT)
		return 0;
	if (r == 0 && there.json && !cop_digest_equal(&there.object, &item->digest))
		remote_note(remote,
			    "stage %.12s is not reproducible: remote '%s' has %.12s for "
			    "the same key, here it gave %.12s; the remote's stays",
			    item->stage ? item->stage : item->key, remote->name,
			    cop_digest_to_hex(&there.object, hex),
			    cop_digest_to_hex(&item->digest, ours));
	return r;
}
