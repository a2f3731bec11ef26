/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: values that a build gets from outside and that are in no manifest.  A stage
 * names those that it wants, and finds them in a file of its sandbox.  Its key holds
 * their digests with a key of the store, so that another value is another checkpoint.
 * The tree from there on, and everything that is made of it, is private: see
 * store/secret.h.
 */
#pragma once

#include "engine/run.h"

/* secrets_of_stage() - the names that it wants, an array; NULL: none; borrowed */
const json_t *secrets_of_stage(const struct manifest_stage *stage);

/* secrets_check() - has each one a value, and is each value wanted?  -ENOKEY, -EINVAL */
int secrets_check(const struct run *run, struct cop_error *err);

/* secrets_digests() - {name: digest} for the key of the stage, as a new reference, NULL
 * for a stage that wants none.  A name without a value stands for itself. */
int secrets_digests(const struct run *run, const struct manifest_stage *stage,
		    json_t **ret_digests, struct cop_error *err);

/* secrets_document() - what the stage is to find: {name: value in hexadecimal digits} */
int secrets_document(const struct run *run, const struct manifest_stage *stage,
		     struct buf *text, struct cop_error *err);

/*
 * secrets_redact() - the values, and each line of them, as "[secret NAME]"
 *
 * Lines of less than SECRETS_SHORT bytes are too common to be recognised.
 * Return: 0 or -ENOMEM.
 */
#define SECRETS_SHORT 4
int secrets_redact(const struct engine_options *options, struct buf *text);
