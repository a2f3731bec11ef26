/* SPDX-License-Identifier: Apache-2.0 */
/* The few rules of the format that both directions share. */
#include "image/format.h"

#include <sys/stat.h>
#include <xxhash.h>

/* Seed of the name filter, as the kernel has it (fs/erofs/xattr.h). */
#define FILTER_SEED 0x25bbe08fU

/* In the order in which they are tried.  5 (lustre) exists in EROFS and is never used. */
#define NAMESPACE(prefix, index)                  \
	{                                         \
		prefix, sizeof(prefix) - 1, index \
	}
static const struct {
	const char *prefix;
	uint8_t size;
	uint8_t index;
} namespaces[] = {
	NAMESPACE("user.", 1),
	NAMESPACE("system.posix_acl_access", 2),
	NAMESPACE("system.posix_acl_default", 3),
	NAMESPACE("trusted.", IMAGE_TRUSTED),
	NAMESPACE("security.", 6),
};

uint8_t image_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	case S_IFSOCK:
		return 6;
	case S_IFLNK:
		return 7;
	default:
		return 0;
	}
}

uint8_t image_key_index(const char *key, size_t *ret_prefix_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		size_t size = namespaces[i].size;

		if (*key == *namespaces[i].prefix &&
		    strncmp(key, namespaces[i].prefix, size) == 0) {
			*ret_prefix_size = size;
			return namespaces[i].index;
		}
	}
	*ret_prefix_size = 0;
	return 0;
}

const char *image_key_prefix(uint8_t index)
{
	if (index == 0)
		return "";
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		if (namespaces[i].index == index)
			return namespaces[i].prefix;
	return NULL;
}

uint32_t image_filter_bit(uint8_t index, const void *name, size_t size)
{
	return (uint32_t)1 << (XXH32(name, size, FILTER_SEED + index) & 31);
}
