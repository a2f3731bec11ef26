/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a manifest: what can be read can be inspected, and is read again as the
 * same. */
#include "fuzz.h"

#include <string.h>

#include "engine/engine.h"
#include "json/json.h"

static void inspect(const struct manifest *manifest, struct buf *text)
{
	auto_json *json = NULL;
	struct cop_error err = {};

	fuzz_check(manifest_inspect(manifest, &json, &err) == 0);
	fuzz_check(json_write(json, 0, text, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_ptr(manifest) manifest = NULL;
	auto_ptr(manifest) again = NULL;
	auto_buf first = {}, second = {};
	struct cop_error err = {};

	if (manifest_load((const char *)data, size, NULL, &manifest, &err) < 0) {
		fuzz_check(err.code < 0 && strncmp(err.message, "manifest", 8) == 0);
		return 0;
	}
	inspect(manifest, &first);
	fuzz_check(manifest_load((const char *)data, size, NULL, &again, &err) == 0);
	inspect(again, &second);
	fuzz_check(strcmp(buf_text(&first), buf_text(&second)) == 0);
	return 0;
}
