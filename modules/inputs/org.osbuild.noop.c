/* SPDX-License-Identifier: Apache-2.0 */
/* Hands its references to the stage, with an empty directory. */
#include <string.h>

#include "modules/inputs/inputs.h"
#include "json/json.h"

int input_noop(struct service_call *call, const char *method, json_t *arguments,
	       json_t **ret_reply, struct cop_error *err)
{
	const char *target;
	json_t *refs;
	int r;

	(void)call;
	if (strcmp(method, "map") != 0)
		return err_set(err, -EOPNOTSUPP, "there is no method '%.40s'", method);
	r = json_get_string(arguments, "target", "arguments", &target, err);
	if (r == 0)
		r = json_get_object(arguments, "refs", "arguments", &refs, err);
	if (r != 0)
		return r;
	*ret_reply = json_pack("{s:s, s:{s:O}}", "path", target, "data", "refs", refs);
	return *ret_reply ? 0 : err_oom(err);
}
