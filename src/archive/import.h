/* SPDX-License-Identifier: Apache-2.0 */
/* One archive on its way into the store; what import.c and oci-import.c share. */
#pragma once

#include "archive/archive.h"
#include "archive/incoming.h"
#include "archive/layers.h"

struct import {
	const struct archive_import_options *options;
	struct incoming incoming;
	struct layers *layers;
	uint64_t n_foreign;
};

int import_init(struct import *import, struct cop_store *store,
		const struct archive_import_options *options, struct cop_error *err);
void import_done(struct import *import);

/* import_stream() - all entries of the archive at @fd on top of what is there.
 * @is_layer: of an image: names that begin with ".wh." are whiteouts */
int import_stream(struct import *import, int fd, bool is_layer, struct cop_error *err);

/* import_commit() - what is there becomes a tree and is committed */
int import_commit(struct import *import, struct cop_digest *ret_digest,
		  struct cop_error *err);

/* oci_is_image() - what is there is an OCI image layout */
bool oci_is_image(struct import *import);

/* oci_apply() - put the layers of the image in @image on top of each other in @import */
int oci_apply(struct import *image, struct import *import, struct cop_error *err);
