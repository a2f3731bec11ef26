/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "base/text.h"
#include "digest/verity.h"

static uint8_t *make_content(size_t size)
{
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	for (uint64_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + 7);
	return data;
}

static int make_file(const void *data, size_t size)
{
	int fd = memfd_create("content", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	return fd;
}

static void assert_digest(const struct cop_digest *digest, const char *hex)
{
	char text[COP_DIGEST_HEX + 1];

	assert_string_equal(cop_digest_to_hex(digest, text), hex);
}

/* Uneven pieces, so that every kind of border is crossed. */
static void digest_in_pieces(struct verity *verity, const uint8_t *data, size_t size,
			     struct cop_digest *ret_digest)
{
	static const size_t pieces[] = {1, 4095, 4096, 4097, 3, 12288, 100000, 0, 5000};
	struct cop_error err = {};

	for (size_t i = 0, done = 0; done < size; i++) {
		size_t piece = pieces[i % ARRAY_SIZE(pieces)];

		if (piece > size - done)
			piece = size - done;
		assert_ok(verity_update(verity, data + done, piece, &err), &err);
		done += piece;
	}
	assert_ok(verity_end(verity, ret_digest, &err), &err);
}

static void check_golden_line(struct verity *verity, size_t size, const char *hex)
{
	auto_free uint8_t *data = make_content(size);
	auto_close int fd = make_file(data, size);
	struct cop_digest digest;
	struct cop_error err = {};

	assert_ok(verity_digest_bytes(data, size, &digest, &err), &err);
	assert_digest(&digest, hex);
	digest_in_pieces(verity, data, size, &digest);
	assert_digest(&digest, hex);
	assert_ok(verity_digest_fd(fd, size, 1, &digest, &err), &err);
	assert_digest(&digest, hex);
	assert_ok(verity_digest_fd(fd, size, 3, &digest, &err), &err);
	assert_digest(&digest, hex);
}

static void every_golden_file_digest_comes_out_in_four_ways(void **state)
{
	struct cop_error err = {};
	auto_ptr(verity) verity = verity_new(&err);
	char path[4096], line[512];
	unsigned int n_lines = 0;
	FILE *file;

	(void)state;
	assert_non_null(verity);
	(void)snprintf(path, sizeof(path), "%s/composefs/file-digests.txt",
		       getenv("COPPICE_GOLDEN"));
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *save = NULL, *size_text = strtok_r(line, " \n", &save);
		char *hex = strtok_r(NULL, " \n", &save);
		uint64_t size;

		if (!size_text || size_text[0] == '#')
			continue;
		assert_int_equal(text_to_u64(size_text, &size), 0);
		assert_non_null(hex);
		check_golden_line(verity, (size_t)size, hex);
		n_lines++;
	}
	(void)fclose(file);
	assert_true(n_lines >= 16);
}

static void zeros_count_like_zero_bytes(void **state)
{
	static const size_t before[] = {0, 1, 4095, 4096, 520192, 524288, 524289};
	static const size_t zeros[] = {0,	1,	4096,	  8191,	   524288,
				       1048576, 528384, 69206016, 67108863};
	struct cop_error err = {};
	auto_ptr(verity) verity = verity_new(&err);
	size_t most = before[6] + zeros[7] + 1;
	auto_free uint8_t *data = calloc(1, most);

	(void)state;
	assert_non_null(verity);
	assert_non_null(data);
	for (size_t i = 0; i < ARRAY_SIZE(before); i++)
		for (size_t k = i & 1; k < ARRAY_SIZE(zeros); k += 2) {
			size_t size = before[i] + zeros[k] + 1;
			struct cop_digest expected, digest;

			memset(data, 0, most);
			memset(data, 'x', before[i]);
			data[size - 1] = 'y';
			assert_ok(verity_digest_bytes(data, size, &expected, &err), &err);
			assert_ok(verity_update(verity, data, before[i], &err), &err);
			assert_ok(verity_update_zeros(verity, zeros[k], &err), &err);
			assert_ok(verity_update(verity, "y", 1, &err), &err);
			assert_ok(verity_end(verity, &digest, &err), &err);
			assert_memory_equal(&digest, &expected, sizeof(digest));
		}
}

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* `truncate -s 1T f; fsverity digest f` */
static void a_hole_of_a_tebibyte_costs_nothing(void **state)
{
	auto_close int fd = make_file("", 0);
	struct cop_digest digest, streamed;
	struct cop_error err = {};
	auto_ptr(verity) verity = verity_new(&err);
	double start = now();

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(1024 * GIB)), 0);
	assert_ok(verity_digest_fd(fd, 1024 * GIB, 2, &digest, &err), &err);
	assert_ok(verity_update_zeros(verity, 512 * GIB + 5, &err), &err);
	assert_ok(verity_update_zeros(verity, 512 * GIB - 5, &err), &err);
	assert_ok(verity_end(verity, &streamed, &err), &err);
	assert_true(cop_digest_equal(&digest, &streamed));
	assert_true(now() - start < 1);
}

static void the_largest_file_fits_and_one_byte_more_does_not(void **state)
{
	struct cop_error err = {};
	auto_ptr(verity) verity = verity_new(&err);
	struct cop_digest digest;

	(void)state;
	assert_ok(verity_update_zeros(verity, INT64_MAX, &err), &err);
	assert_fails(verity_update_zeros(verity, 1, &err), -EFBIG, &err);
	assert_fails(verity_update(verity, "x", 1, &err), -EFBIG, &err);
	assert_ok(verity_end(verity, &digest, &err), &err);
	assert_ok(verity_end(verity, &digest, &err), &err);
	assert_digest(&digest,
		      "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95");
}

static void a_sparse_file_has_the_digest_of_its_bytes(void **state)
{
	size_t size = 40 * MIB + 77;
	auto_free uint8_t *data = calloc(1, size);
	auto_close int fd = make_file("", 0);
	struct cop_digest expected, digest;
	struct cop_error err = {};

	(void)state;
	assert_non_null(data);
	memset(data + 5000, 'a', 70000);
	memset(data + 3 * MIB + 1, 'b', 12 * MIB);
	memset(data + 39 * MIB, 'c', 10);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, data + 5000, 70000, 5000), 70000);
	assert_int_equal(pwrite(fd, data + 3 * MIB + 1, 12 * MIB, 3 * MIB + 1), 12 * MIB);
	assert_int_equal(pwrite(fd, data + 39 * MIB, 10, 39 * MIB), 10);
	assert_ok(verity_digest_bytes(data, size, &expected, &err), &err);
	for (unsigned int n_threads = 1; n_threads <= 4; n_threads++) {
		assert_ok(verity_digest_fd(fd, size, n_threads, &digest, &err), &err);
		assert_memory_equal(&digest, &expected, sizeof(digest));
	}
}

static void only_the_first_size_bytes_of_a_file_count(void **state)
{
	auto_free uint8_t *data = make_content(100000);
	auto_close int fd = make_file(data, 100000);
	struct cop_digest expected, digest;
	struct cop_error err = {};

	(void)state;
	assert_ok(verity_digest_bytes(data, 70001, &expected, &err), &err);
	assert_ok(verity_digest_fd(fd, 70001, 0, &digest, &err), &err);
	assert_memory_equal(&digest, &expected, sizeof(digest));
}

static void a_file_that_is_too_short_is_stale(void **state)
{
	auto_close int fd = make_file("hello", 5);
	struct cop_digest digest = {.bytes = {42}};
	struct cop_error err = {};

	(void)state;
	assert_fails(verity_digest_fd(fd, 6, 1, &digest, &err), -ESTALE, &err);
	assert_int_equal(digest.bytes[0], 42);
	assert_string_equal(err.message, "read: the file became shorter");
}

static void a_directory_has_no_digest(void **state)
{
	auto_close int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cop_digest digest;
	struct cop_error err = {};

	(void)state;
	assert_fails(verity_digest_fd(fd, 0, 1, &digest, &err), -EINVAL, &err);
}

static void threads_report_a_file_that_cannot_be_read(void **state)
{
	auto_close int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	auto_close int write_only = -EBADF;
	auto_free uint8_t *data = make_content(16 * MIB);
	struct cop_digest digest;
	struct cop_error err = {};
	char path[64];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, 16 * MIB), (ssize_t)(16 * MIB));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	write_only = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(write_only >= 0);
	assert_fails(verity_digest_fd(write_only, 16 * MIB, 2, &digest, &err), -EBADF,
		     &err);
	assert_fails(verity_digest_fd(write_only, 16 * MIB, 1, &digest, &err), -EBADF,
		     &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_file_digest_comes_out_in_four_ways),
		cmocka_unit_test(zeros_count_like_zero_bytes),
		cmocka_unit_test(a_hole_of_a_tebibyte_costs_nothing),
		cmocka_unit_test(the_largest_file_fits_and_one_byte_more_does_not),
		cmocka_unit_test(a_sparse_file_has_the_digest_of_its_bytes),
		cmocka_unit_test(only_the_first_size_bytes_of_a_file_count),
		cmocka_unit_test(a_file_that_is_too_short_is_stale),
		cmocka_unit_test(a_directory_has_no_digest),
		cmocka_unit_test(threads_report_a_file_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
