/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/secrets.h"

#include <string.h>

#include "base/text.h"
#include "store/secret.h"
#include "json/json.h"

/* The one stage that takes them. */
#define STAGE_TYPE "org.coppice.secrets"

const json_t *secrets_of_stage(const struct manifest_stage *stage)
{
	const json_t *names = json_object_get(stage->options, "secrets");

	return strcmp(stage->type, STAGE_TYPE) == 0 && json_array_size(names) > 0 ? names
										  : NULL;
}

static const struct engine_secret *find(const struct run *run, const char *name)
{
	const struct engine_options *options = run->options;

	for (size_t i = 0; options && name && i < options->n_secrets; i++)
		if (strcmp(options->secrets[i].name, name) == 0)
			return &options->secrets[i];
	return NULL;
}

int manifest_secrets(const struct manifest *manifest, json_t **ret_names,
		     struct cop_error *err)
{
	auto_json *names = json_object();

	for (size_t i = 0; i < manifest->n_pipelines; i++) {
		const struct manifest_pipeline *pipeline = &manifest->pipelines[i];

		for (size_t j = 0; j < pipeline->n_stages; j++) {
			const json_t *wanted = secrets_of_stage(&pipeline->stages[j]);
			const json_t *name;
			size_t k;

			json_array_foreach (wanted, k, name)
				if (json_is_text(name) &&
				    json_object_set_new(names, json_string_value(name),
							json_true()) < 0)
					return err_oom(err);
		}
	}
	if (!names)
		return err_oom(err);
	*ret_names = TAKE_PTR(names);
	return 0;
}

int secrets_check(const struct run *run, struct cop_error *err)
{
	auto_json *names = NULL;
	const char *name;
	json_t *value;
	int r = manifest_secrets(run->manifest, &names, err);

	if (r < 0)
		return r;
	json_object_foreach (names, name, value)
		if (!find(run, name))
			return err_set(err, -ENOKEY, "secret '%s' has no value", name);
	for (size_t i = 0; i < run->options->n_secrets; i++)
		if (!json_object_get(names, run->options->secrets[i].name))
			return err_set(err, -EINVAL,
				       "secret '%s': no stage wants one of that name",
				       run->options->secrets[i].name);
	return 0;
}

bool run_is_private(const struct run *run, const struct manifest_stage *stage)
{
	const struct run_pipeline *pipeline =
		&run->pipelines[stage->pipeline - run->manifest->pipelines];

	return pipeline->stages[stage->number - 1].is_private;
}

/* Nested like an HMAC: the outer hash covers the inner one and the key again. */
static int digest(const unsigned char key[STORE_SECRET_KEY],
		  const struct engine_secret *secret, char hex[SHA256_HEX + 1],
		  struct cop_error *err)
{
	char inner[SHA256_HEX + 1];
	auto_buf text = {};
	int r;

	(void)buf_append(&text, key, STORE_SECRET_KEY);
	(void)buf_append(&text, secret->name, strlen(secret->name) + 1);
	(void)buf_append(&text, secret->value, secret->size);
	r = text.failed ? err_oom(err) : sha256_bytes(text.data, text.size, inner, err);
	if (text.data)
		explicit_bzero(text.data, text.size);
	if (r < 0)
		return r;
	buf_truncate(&text, 0);
	(void)buf_append(&text, key, STORE_SECRET_KEY);
	(void)buf_append_text(&text, inner);
	return text.failed ? err_oom(err) : sha256_bytes(text.data, text.size, hex, err);
}

int secrets_digests(const struct run *run, const struct manifest_stage *stage,
		    json_t **ret_digests, struct cop_error *err)
{
	const json_t *names = secrets_of_stage(stage), *item;
	auto_json *digests = names ? json_object() : NULL;
	unsigned char key[STORE_SECRET_KEY];
	char hex[SHA256_HEX + 1];
	bool has_key = false;
	size_t i;
	int r = 0;

	json_array_foreach (names, i, item) {
		const char *name = json_string_value(item);
		const struct engine_secret *secret = find(run, name);

		if (secret && !has_key)
			r = store_secret_key(run->store, key, err);
		has_key = secret || has_key;
		if (r == 0 && secret)
			r = digest(key, secret, hex, err);
		if (r == 0 && name &&
		    json_object_set_new(digests, name,
					json_string(secret ? hex : "no value")) < 0)
			r = err_oom(err);
		if (r < 0)
			return r;
	}
	*ret_digests = TAKE_PTR(digests);
	return 0;
}

int secrets_document(const struct run *run, const struct manifest_stage *stage,
		     struct buf *text, struct cop_error *err)
{
	const json_t *names = secrets_of_stage(stage), *item;
	auto_json *document = json_object();
	size_t i;

	json_array_foreach (names, i, item) {
		const char *name = json_string_value(item);
		const struct engine_secret *secret = find(run, name);
		auto_free char *hex = secret ? malloc(2 * secret->size + 1) : NULL;

		if (!secret)
			return err_set(err, -ENOKEY, "secret '%s' has no value",
				       name ? name : "?");
		if (!hex ||
		    json_object_set_new(document, name,
					json_string(hex_encode(secret->value,
							       secret->size, hex))) < 0)
			return err_oom(err);
	}
	return json_write(document, 0, text, err);
}

/* --- what is printed --- */

static int replace(struct buf *text, const char *value, size_t size, const char *name)
{
	auto_buf out = {};
	const char *at, *from = buf_text(text), *end = from + text->size;

	while ((at = memmem(from, (size_t)(end - from), value, size))) {
		(void)buf_append(&out, from, (size_t)(at - from));
		(void)buf_printf(&out, "[secret %s]", name);
		from = at + size;
	}
	if (from == buf_text(text))
		return 0;
	(void)buf_append(&out, from, (size_t)(end - from));
	if (out.failed)
		return -ENOMEM;
	buf_done(text);
	*text = out;
	out = (struct buf){};
	return 0;
}

int secrets_redact(const struct engine_options *options, struct buf *text)
{
	int r = 0;

	for (size_t i = 0; options && i < options->n_secrets && r == 0; i++) {
		const struct engine_secret *secret = &options->secrets[i];
		const char *at = secret->value, *end = at + secret->size;

		while (at < end && r == 0) {
			const char *newline = memchr(at, '\n', (size_t)(end - at));
			size_t size = (size_t)((newline ? newline : end) - at);

			if (size >= SECRETS_SHORT)
				r = replace(text, at, size, secret->name);
			at += size + 1;
		}
	}
	return r;
}
