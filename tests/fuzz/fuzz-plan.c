/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a pull plan, and as a listing: what can be read can be written again. */
#include "fuzz.h"

#include <string.h>

#include "remote/listing.h"
#include "remote/plan.h"

static int take(void *data, const struct listing_entry *entry)
{
	*(size_t *)data += strlen(entry->key) + strlen(entry->modified);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan plan = {}, again = {};
	auto_free char *token = NULL;
	struct cop_error err = {};
	auto_buf text = {};
	size_t n = 0;
	int r = listing_parse((const char *)data, size, take, &n, &token, &err);

	fuzz_check(r == 0 || r == -EBADMSG);
	r = plan_read((const char *)data, size, &plan, &err);
	if (r < 0) {
		fuzz_check((r == -EBADMSG || r == -EPROTONOSUPPORT || r == -EFBIG) &&
			   *err.message);
		return 0;
	}
	fuzz_check(plan.n_trees > 0 && plan.n_trees <= TREE_CHAIN_MAX);
	fuzz_check(plan_write(&plan, &text, &err) == 0);
	fuzz_check(plan_read(buf_text(&text), text.size, &again, &err) == 0);
	fuzz_check(again.n_segments == plan.n_segments);
	return 0;
}
