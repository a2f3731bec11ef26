/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are on S3: the usual environment variables, else the shared credentials file. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* struct credentials - owned strings; @token and @region may be NULL */
struct credentials {
	char *access, *secret, *token, *region;
};

void credentials_done(struct credentials *credentials);

/* credentials_find() - @profile NULL: $AWS_PROFILE, else "default".  -ENOKEY: there are
 * none. */
int credentials_find(const char *profile, struct credentials *ret, struct cop_error *err);

/* credentials_parse() - a profile of the text of a credentials file; 1: found */
int credentials_parse(const char *text, const char *profile, struct credentials *ret,
		      struct cop_error *err);
