/* SPDX-License-Identifier: Apache-2.0 */
/* What may be the name of a ref.  A name never looks like an id or a prefix of one, so a
 * word on the command line has one meaning. */
#include <string.h>

#include "base/text.h"
#include "store/private.h"

#define NAME_CHARACTERS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:+@-"
#define PART_MAX      ((size_t)255)
#define ID_DIGITS_MIN ((size_t)6)

const char *ref_class_name(enum ref_class class)
{
	static const char *const names[] = {
		[REF_NAME] = "name",
		[REF_STAGE] = "stage",
		[REF_FAILED] = "failed",
	};

	return names[class];
}

bool ref_looks_like_id(const char *name)
{
	size_t size = strnlen(name, COP_DIGEST_HEX + 1);

	return size >= ID_DIGITS_MIN && size <= COP_DIGEST_HEX && text_is_hex(name);
}

static bool is_stage_id(const char *name)
{
	return strnlen(name, COP_DIGEST_HEX + 1) == COP_DIGEST_HEX && text_is_hex(name);
}

static bool parts_are_valid(const char *name)
{
	for (;;) {
		size_t size = strspn(name, NAME_CHARACTERS);

		if (size == 0 || size > PART_MAX || *name == '.' || *name == '-')
			return false;
		if (name[size] == '\0')
			return true;
		if (name[size] != '/')
			return false;
		name += size + 1;
	}
}

bool ref_name_is_valid(enum ref_class class, const char *name)
{
	if (class != REF_NAME)
		return is_stage_id(name);
	if (strnlen(name, REF_NAME_SIZE) >= REF_NAME_SIZE || ref_looks_like_id(name))
		return false;
	/* failed/ID is how the tree of a failed stage is called */
	if (text_starts_with(name, "failed/") && is_stage_id(name + strlen("failed/")))
		return false;
	return parts_are_valid(name);
}

int ref_check_name(enum ref_class class, const char *name, struct cop_error *err)
{
	if (ref_name_is_valid(class, name))
		return 0;
	if (class != REF_NAME)
		return err_set(err, -EINVAL,
			       "'%s' is not a stage id: 64 digits of 0-9a-f", name);
	if (ref_looks_like_id(name))
		return err_set(err, -EINVAL,
			       "'%s' cannot be a name: it looks like an id or a digest",
			       name);
	return err_set(err, -EINVAL,
		       "'%s' is not a name: parts of A-Z a-z 0-9 . _ : + @ - joined by "
		       "'/', none beginning with '.' or '-'",
		       name);
}
