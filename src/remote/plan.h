/* SPDX-License-Identifier: Apache-2.0 */
/* Pull plans: for one object, the segments that know all its files, and the trees that
 * have to be unpacked one after the other for its own. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "digest/sha256.h"
#include "remote/format.h"

/*
 * struct plan
 * @trees: each is the dictionary of the next; the last is the object's own
 */
struct plan {
	struct cop_digest object;
	struct cop_digest trees[TREE_CHAIN_MAX];
	size_t n_trees;
	char segments[PLAN_SEGMENTS_MAX][SHA256_HEX + 1];
	size_t n_segments;
};

/* plan_add_segment() - once each; -E2BIG beyond PLAN_SEGMENTS_MAX */
int plan_add_segment(struct plan *plan, const char *name, struct cop_error *err);

/* plan_write() - appended to @text, as JSON */
int plan_write(const struct plan *plan, struct buf *text, struct cop_error *err);

/* plan_read() - trusts nothing; -EBADMSG; -EPROTONOSUPPORT: of a later format */
int plan_read(const char *text, size_t size, struct plan *ret_plan,
	      struct cop_error *err);

/* digest_is() - @text is the digest in hexadecimal digits, and *@ret becomes it */
bool digest_is(const char *text, struct cop_digest *ret);
