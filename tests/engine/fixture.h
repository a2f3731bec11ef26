/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store, modules and a monitor that writes down what it hears, for tests that build.
 *
 * Beside the real modules ($COPPICE_TEST_LIBDIR) there is a libdir of the test's own with
 * the stage org.test.sh, which runs options.command in the tree, outside of any chroot.
 */
#pragma once

#include "testlib.h"

#include "base/buf.h"
#include "engine/engine.h"
#include "store/ref.h"
#include "json/json.h"

#define SH_STAGE "org.test.sh"

struct fixture {
	char path[64];	 /* everything is in here */
	char libdir[96]; /* modules of the test */
	char store_path[96];
	char output[96];
	struct cop_store *store;
	const char *libdirs[3];
	struct engine_places places;
	struct engine_options options;
	struct buf events; /* "TYPE ran kept" and so on, one per line */
	struct buf notes;
	struct buf printed; /* by stages */
	json_t *result;	    /* of the last build that went well */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* fixture_needs_sandbox() - skip the test where bubblewrap cannot run */
void fixture_needs_sandbox(void);

/* fixture_stage() - write the executable @name into the test's libdir/stages, with a
 * description; @script begins with #! */
void fixture_module(struct fixture *fixture, const char *class, const char *name,
		    const char *script);

/* fixture_build() - load and build; events, notes and the result are those of this build.
 * @json has ' in place of ". */
int fixture_build(struct fixture *fixture, const char *json, struct cop_error *err);

/* fixture_sh() - a manifest with one pipeline "tree" of org.test.sh stages, one for each
 * command up to the NULL, source-epoch 1000000 */
int fixture_sh(struct fixture *fixture, struct cop_error *err, ...)
	__attribute__((sentinel));

/* fixture_digest() - of the pipeline in the last result, or "-"; borrowed */
const char *fixture_digest(const struct fixture *fixture, const char *pipeline);

/* fixture_read() - a file below the fixture's directory, appended to @buf; false: none */
bool fixture_read(const struct fixture *fixture, const char *path, struct buf *buf);
