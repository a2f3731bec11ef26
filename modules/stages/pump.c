/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/pump.h"

#include <fcntl.h>

#include "modkit/root.h"

/* As zstd reads: where pieces end may show in the result. */
#define CHUNK ((size_t)(128 * KIB))

int pump_write(int out_fd, const void *bytes, size_t size, struct cop_error *err)
{
	int r = fs_write_all(out_fd, bytes, size);

	return r < 0 ? err_code(err, r, "write") : 0;
}

int pump(int source, int target, const struct pump_ops *ops, struct cop_error *err)
{
	auto_free char *chunk = malloc(CHUNK);
	uint64_t offset = 0;
	bool is_last = false;
	struct stat st;

	if (!chunk)
		return err_oom(err);
	if (fstat(source, &st) < 0)
		return err_errno(err, "stat the source");
	while (!is_last) {
		ssize_t n = fs_pread_full(source, chunk, CHUNK, offset);
		int r;

		if (n < 0)
			return err_code(err, (int)n, "read");
		offset += (uint64_t)n;
		is_last = (size_t)n < CHUNK || offset == (uint64_t)st.st_size;
		r = ops->encode(ops->data, chunk, (size_t)n, is_last, target, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int pump_open(struct kit *kit, const char *filename, int *ret_source, int *ret_target)
{
	auto_close int source = -EBADF, target = -EBADF;
	auto_free char *path = NULL;
	int r = kit_input_file(kit, "file", &path);

	if (r < 0)
		return r;
	source = open(path, O_RDONLY | O_CLOEXEC);
	if (source < 0)
		return err_errno(kit->err, "open the input file '%s'", path);
	target = root_open_file(kit->tree_fd, filename, 0644, kit->err);
	if (target < 0)
		return target;
	if (ftruncate(target, 0) < 0)
		return err_errno(kit->err, "empty '%s'", filename);
	*ret_source = TAKE_FD(source);
	*ret_target = TAKE_FD(target);
	return 0;
}
