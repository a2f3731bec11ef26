/* SPDX-License-Identifier: Apache-2.0 */
#include "archive/output.h"

#include "base/fs.h"

#define BUFFER_SIZE ((size_t)(256 * KIB))

int output_init(struct output *output, int fd, struct cop_error *err)
{
	*output = (struct output){.fd = fd};
	if (fd < 0) {
		output->sha = sha256_new(err);
		return output->sha ? 0 : err_oom(err);
	}
	output->buffer = malloc(BUFFER_SIZE);
	return output->buffer ? 0 : err_oom(err);
}

void output_done(struct output *output)
{
	output->sha = sha256_free(output->sha);
	free(TAKE_PTR(output->buffer));
}

static int write_out(struct output *output, const void *data, size_t size,
		     struct cop_error *err)
{
	int r = fs_write_all(output->fd, data, size);

	return r < 0 ? err_code(err, r, "write") : 0;
}

int output_flush(struct output *output, struct cop_error *err)
{
	size_t size = TAKE(output->used, 0);

	return size ? write_out(output, output->buffer, size, err) : 0;
}

int output_write(struct output *output, const void *data, size_t size,
		 struct cop_error *err)
{
	int r = 0;

	output->n_bytes += size;
	if (output->sha) {
		sha256_update(output->sha, data, size);
		return 0;
	}
	if (size > BUFFER_SIZE - output->used)
		r = output_flush(output, err);
	if (r < 0 || size > BUFFER_SIZE)
		return r < 0 ? r : write_out(output, data, size, err);
	memcpy(output->buffer + output->used, data, size);
	output->used += size;
	return 0;
}

int output_zeros(struct output *output, uint64_t size, struct cop_error *err)
{
	static const uint8_t zeros[4096];
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = (size_t)min_u64(size, sizeof(zeros));

		r = output_write(output, zeros, n, err);
		size -= n;
	}
	return r;
}
