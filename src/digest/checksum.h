/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums as manifests write them: "sha256:HEX"; md5, sha1, sha384 and sha512 too. */
#pragma once

#include "base/error.h"

struct checksum;

/* checksum_new() - of bytes to come; -EINVAL when @text is none */
int checksum_new(const char *text, struct checksum **ret_checksum, struct cop_error *err);
struct checksum *checksum_free(struct checksum *checksum);
DEFINE_AUTO_PTR(checksum)

void checksum_update(struct checksum *checksum, const void *data, size_t size);

/* checksum_restart() - forget the bytes so far */
void checksum_restart(struct checksum *checksum);

/* checksum_end() - 0 when the bytes fit; -EBADMSG naming @what and both sums */
int checksum_end(struct checksum *checksum, const char *what, struct cop_error *err);
