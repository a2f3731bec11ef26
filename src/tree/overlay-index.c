/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the index of an overlay: the file handle of an inode of the lower layer in
 * hexadecimal digits.  The layout is the kernel's struct ovl_fb: version, magic, length,
 * flags, type of the handle, UUID of the file system, then EROFS's own part.
 */
#include <string.h>

#include "base/text.h"
#include "tree/merge.h"
#include "tree/private.h"

#define HEAD "00fb" /* OVL_FH_VERSION, OVL_FH_MAGIC */

enum {
	AT_LENGTH = 2,
	AT_FLAGS = 3,
	AT_TYPE = 4,
	AT_HANDLE = 21,
};

#define FLAG_PATH_UPPER 4

/* FILEID_INO64_GEN: u32 high, u32 low, u32 generation; since Linux 6.16 */
#define TYPE_INO64 0x81
#define SIZE_INO64 (AT_HANDLE + 12)
/* FILEID_INO32_GEN: u32 inode number, u32 generation */
#define TYPE_INO32 0x01
#define SIZE_INO32 (AT_HANDLE + 8)

/* Numbers stand there in the byte order of the machine that made the upper, and a
 * machine with another order refuses to mount it. */
static uint32_t get_u32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

int overlay_index_nid(const char *name, uint64_t *ret_nid)
{
	uint8_t bytes[SIZE_INO64];
	size_t size = strlen(name) / 2;

	if (!text_starts_with(name, HEAD))
		return 1;
	if ((size != SIZE_INO64 && size != SIZE_INO32) ||
	    hex_decode(name, bytes, size) < 0 || bytes[AT_LENGTH] != size ||
	    bytes[AT_FLAGS] & FLAG_PATH_UPPER)
		return -EUCLEAN;
	if (bytes[AT_TYPE] == TYPE_INO64 && size == SIZE_INO64)
		*ret_nid = (uint64_t)get_u32(bytes + AT_HANDLE) << 32 |
			   get_u32(bytes + AT_HANDLE + 4);
	else if (bytes[AT_TYPE] == TYPE_INO32 && size == SIZE_INO32)
		*ret_nid = get_u32(bytes + AT_HANDLE);
	else
		return -EUCLEAN;
	return 0;
}
