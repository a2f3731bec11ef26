/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes each part of an index segment has; docs/remote-format.md, section 5. */
#pragma once

#define SEGMENT_HEADER_SIZE 32
#define SEGMENT_PACK_SIZE   40
#define SEGMENT_BLOCK_SIZE  24
#define SEGMENT_FILE_SIZE   48
#define SEGMENT_TREE_SIZE   72
#define SEGMENT_PART_SIZE   40
