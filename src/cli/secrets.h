/* SPDX-License-Identifier: Apache-2.0 */
/* Where the values of secrets come from: files that are named, else the environment. */
#pragma once

#include "cli/cli.h"
#include "engine/engine.h"

struct secrets {
	json_t *names; /* as keys: @all borrows them */
	struct engine_secret *all;
	size_t n;
};

/* For the table of a verb; its values are the @given of secrets_read(). */
#define SECRET_OPTION                                                                  \
	{                                                                              \
		"secret", 0, "NAME=FILE",                                              \
			"what is in FILE is the secret NAME; without it the variable " \
			"COPPICE_SECRET_NAME is",                                      \
			true                                                           \
	}

void secrets_done(struct secrets *secrets);

/*
 * secrets_read() - a value for every secret that @manifest wants
 * @given:  words NAME=FILE, NULL-terminated; a name that nobody wants is an error
 * @needed: one without a value is an error, too; else it is left out
 *
 * What was in the environment is taken out of it.  Return: 0; -ENOKEY, naming what to do;
 * a usage error; another negative errno.
 */
int secrets_read(const struct manifest *manifest, const char *const *given, bool needed,
		 struct secrets *secrets, struct cop_error *err);
