/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of images share: golden files, and dumps, trees and images in a line. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/fs.h"
#include "image/image.h"
#include "tree/dump.h"
#include "tree/tree.h"

#include "testlib.h"

/* struct image - an image in memory; free with image_done() */
struct image {
	uint8_t *data;
	size_t size;
};

static inline void image_done(struct image *image)
{
	free(image->data);
	*image = (struct image){};
}
#define auto_image cleanup_with(image_done) struct image

static inline int open_golden(void)
{
	const char *golden = getenv("COPPICE_GOLDEN");
	int fd;

	if (!golden)
		fail_msg("COPPICE_GOLDEN is not set");
	fd = open(golden, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", golden, strerror(errno));
	return fd;
}

/* read_golden() - golden/composefs/NAME SUFFIX; false when there is none */
static inline bool read_golden(const char *name, const char *suffix, struct buf *buf)
{
	auto_close int golden_fd = open_golden();
	struct cop_error err = {};
	char path[128];
	int r;

	(void)snprintf(path, sizeof(path), "composefs/%s%s", name, suffix);
	r = fs_read_file(golden_fd, path, 64 * MIB, buf, &err);
	if (r == -ENOENT)
		return false;
	assert_ok(r, &err);
	return true;
}

/* for_each_vector() - call @check with the name of every dump there, without ".dump" */
static inline void for_each_vector(void (*check)(const char *name))
{
	auto_close int golden_fd = open_golden();
	auto_close int dir_fd = -EBADF;
	struct cop_error err = {};
	char **names = NULL;
	size_t n_names = 0, n_vectors = 0;

	dir_fd = openat(golden_fd, "composefs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	assert_ok(fs_list(dir_fd, &names, &n_names, &err), &err);
	for (size_t i = 0; i < n_names; i++) {
		char *dot = strstr(names[i], ".dump");

		if (!dot)
			continue;
		*dot = '\0';
		check(names[i]);
		n_vectors++;
	}
	fs_list_free(names);
	assert_true(n_vectors >= 29);
}

static inline struct tree *tree_of_text(const char *text, size_t size)
{
	struct cop_error err = {};
	struct tree *tree = NULL;

	assert_ok(tree_from_dump(text, size, &tree, &err), &err);
	return tree;
}

static inline struct tree *tree_of_vector(const char *name)
{
	auto_buf dump = {};

	assert_true(read_golden(name, ".dump", &dump));
	return tree_of_text(dump.data, dump.size);
}

static inline struct image image_of(const struct tree *tree, unsigned int version)
{
	struct cop_error err = {};
	struct image image = {};

	assert_ok(image_write(tree, version, &image.data, &image.size, &err), &err);
	return image;
}

static inline struct image image_of_text(const char *text)
{
	auto_ptr(tree) tree = tree_of_text(text, strlen(text));

	return image_of(tree, IMAGE_VERSION);
}

static inline struct tree *tree_of(const struct image *image)
{
	struct cop_error err = {};
	struct tree *tree = NULL;

	assert_ok(image_read(image->data, image->size, &tree, NULL, &err), &err);
	return tree;
}

static inline char *dump_of(const struct tree *tree)
{
	struct cop_error err = {};
	auto_buf buf = {};

	assert_ok(tree_to_dump(tree, &buf, &err), &err);
	return buf_take(&buf);
}

/* assert_same_image() - a difference is shown by its offset */
static inline void assert_same_image(const char *name, const struct image *a,
				     const struct image *b)
{
	if (a->size != b->size)
		fail_msg("%s: %zu bytes instead of %zu", name, b->size, a->size);
	for (size_t i = 0; i < a->size; i++)
		if (a->data[i] != b->data[i])
			fail_msg("%s: byte 0x%zx is %02x instead of %02x", name, i,
				 b->data[i], a->data[i]);
}
