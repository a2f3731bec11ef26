/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/hostname.h"

#include <string.h>

static bool is_label_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-';
}

int hostname_check(const char *name, struct cop_error *err)
{
	char before = '.';

	if (strlen(name) > HOSTNAME_LENGTH_MAX)
		return err_set(err, -EINVAL, "hostname '%s' is over %d bytes", name,
			       HOSTNAME_LENGTH_MAX);
	for (const char *c = name;; c++) {
		bool at_end = *c == '.' || !*c;

		/* A label ends here: it must be there, and not end in '-'. */
		if (at_end ? before == '.' || before == '-'
			   : !is_label_character(*c) || (*c == '-' && before == '.'))
			return err_set(err, -EINVAL,
				       "hostname '%s' is not made of letters, digits and "
				       "'-', in parts between dots",
				       name);
		if (!*c)
			return 0;
		before = *c;
	}
}
