/* SPDX-License-Identifier: Apache-2.0 */
/* Large files that come in pieces, and what an attempt leaves for the next. */
#include "teststore.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "digest/verity.h"
#include "store/gc.h"
#include "store/receive.h"

/* 12 pieces and a bit. */
#define SIZE	 ((uint64_t)12 * RECEIVED_PIECE + 777)
#define N_PIECES 13

struct attempt {
	struct workdir *workdir;
	struct staging *staging;
	struct received *received;
};

static uint8_t *data;
static struct cop_digest digest;

static int setup(void **state)
{
	struct cop_error err = {};

	data = malloc(SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		data[i] = (uint8_t)(i * 31 + i / 4096);
	/* A piece of nothing but zeros. */
	memset(data + 7 * RECEIVED_PIECE, 0, RECEIVED_PIECE);
	assert_ok(verity_digest_bytes(data, SIZE, &digest, &err), &err);
	return scratch_setup(state);
}

static int teardown(void **state)
{
	free(data);
	return scratch_teardown(state);
}

static struct attempt begin(const struct scratch *scratch)
{
	struct attempt attempt = {};
	struct cop_error err = {};

	assert_ok(workdir_new(scratch->store, "pull-", NULL, &attempt.workdir, &err),
		  &err);
	assert_ok(staging_new(scratch->store, attempt.workdir, NULL, &attempt.staging,
			      &err),
		  &err);
	assert_ok(received_new(attempt.staging, &digest, SIZE, &attempt.received, &err),
		  &err);
	return attempt;
}

static void end(struct attempt *attempt)
{
	attempt->received = received_free(attempt->received);
	staging_free(attempt->staging);
	workdir_free(attempt->workdir);
}

static bool has(const struct attempt *attempt, uint64_t piece)
{
	return received_has(attempt->received, piece * RECEIVED_PIECE);
}

static void put_piece(const struct attempt *attempt, uint64_t piece)
{
	uint64_t at = piece * RECEIVED_PIECE;
	size_t size = SIZE - at < RECEIVED_PIECE ? SIZE - at : RECEIVED_PIECE;
	struct cop_error err = {};

	assert_ok(received_write(attempt->received, data + at, size, at, &err), &err);
}

/* What is not there yet. */
static unsigned int put_rest(const struct attempt *attempt)
{
	unsigned int n = 0;

	for (uint64_t i = 0; i < N_PIECES; i++)
		if (!has(attempt, i)) {
			put_piece(attempt, i);
			n++;
		}
	return n;
}

static void assert_in_pool(const struct scratch *scratch)
{
	char path[128];
	auto_buf found = {};
	struct stat st;
	auto_close int fd =
		openat(scratch->fd, pool_file(data, SIZE, path), O_RDONLY | O_CLOEXEC);
	struct cop_error err = {};

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
	assert_int_equal(st.st_size, SIZE);
	assert_ok(fs_read_all(fd, 2 * SIZE, &found, &err), &err);
	assert_int_equal(found.size, SIZE);
	assert_memory_equal(found.data, data, SIZE);
}

static void pieces_in_any_order_are_the_file(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	struct cop_error err = {};

	for (uint64_t i = N_PIECES; i > 0; i--) {
		assert_false(has(&attempt, i - 1));
		put_piece(&attempt, i - 1);
	}
	assert_ok(received_end(attempt.received, &err), &err);
	assert_ok(receive_publish(attempt.staging, &err), &err);
	end(&attempt);
	assert_in_pool(scratch);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
}

static void what_came_is_found_by_the_next_attempt(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	struct cop_error err = {};

	for (uint64_t i = 3; i < 9; i++)
		put_piece(&attempt, i);
	end(&attempt);
	assert_int_equal(scratch_count(scratch, "store/partial"), 1);
	/* From another process. */
	scratch_reopen(scratch);
	attempt = begin(scratch);
	for (uint64_t i = 0; i < N_PIECES; i++)
		assert_int_equal(has(&attempt, i), i >= 3 && i < 9);
	assert_int_equal(put_rest(&attempt), N_PIECES - 6);
	assert_ok(received_end(attempt.received, &err), &err);
	assert_ok(receive_publish(attempt.staging, &err), &err);
	end(&attempt);
	assert_in_pool(scratch);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
}

static void a_file_that_was_whole_but_not_ended_is_ended(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	struct cop_error err = {};

	assert_int_equal(put_rest(&attempt), N_PIECES);
	end(&attempt);
	attempt = begin(scratch);
	assert_int_equal(put_rest(&attempt), 1);
	assert_ok(received_end(attempt.received, &err), &err);
	assert_ok(receive_publish(attempt.staging, &err), &err);
	end(&attempt);
	assert_in_pool(scratch);
}

static void two_at_once_do_not_meet(void **state)
{
	struct scratch *scratch = *state;
	struct attempt first = begin(scratch), second;
	struct cop_error err = {};

	put_piece(&first, 0);
	second = begin(scratch);
	assert_false(has(&second, 0));
	assert_int_equal(put_rest(&second), N_PIECES);
	assert_ok(received_end(second.received, &err), &err);
	assert_ok(receive_publish(second.staging, &err), &err);
	end(&second);
	assert_int_equal(put_rest(&first), N_PIECES);
	assert_ok(received_end(first.received, &err), &err);
	assert_ok(receive_publish(first.staging, &err), &err);
	end(&first);
	assert_in_pool(scratch);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
}

/* As a power cut leaves it: the mark is there, the data is not. */
static void a_lost_piece_is_noticed_and_all_comes_again(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	char path[128], hex[COP_DIGEST_HEX + 1];
	struct cop_error err = {};
	int fd;

	put_piece(&attempt, 5);
	end(&attempt);
	(void)snprintf(path, sizeof(path), "store/partial/%s",
		       cop_digest_to_hex(&digest, hex));
	fd = openat(scratch->fd, path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "lost", 4, 5 * RECEIVED_PIECE + 9), 4);
	(void)close(fd);
	attempt = begin(scratch);
	assert_int_equal(put_rest(&attempt), N_PIECES - 1);
	assert_fails(received_end(attempt.received, &err), -EAGAIN, &err);
	end(&attempt);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
	attempt = begin(scratch);
	assert_int_equal(put_rest(&attempt), N_PIECES);
	assert_ok(received_end(attempt.received, &err), &err);
	end(&attempt);
}

static void another_file_is_refused_and_leaves_nothing(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	struct cop_error err = {};

	data[SIZE / 2] ^= 1;
	(void)put_rest(&attempt);
	assert_fails(received_end(attempt.received, &err), -EBADMSG, &err);
	end(&attempt);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
}

static void what_does_not_fit_is_not_used(void **state)
{
	struct scratch *scratch = *state;
	char path[128], hex[COP_DIGEST_HEX + 1];
	struct attempt attempt;

	(void)snprintf(path, sizeof(path), "store/partial/%s",
		       cop_digest_to_hex(&digest, hex));
	scratch_write_text(scratch, path, "something short");
	attempt = begin(scratch);
	for (uint64_t i = 0; i < N_PIECES; i++)
		assert_false(has(&attempt, i));
	end(&attempt);
	assert_false(scratch_has(scratch, path));
	/* A link is not followed, and nothing is written through it. */
	scratch_write_text(scratch, "outside", "mine");
	assert_int_equal(symlinkat("../../outside", scratch->fd, path), 0);
	attempt = begin(scratch);
	put_piece(&attempt, 0);
	end(&attempt);
	assert_true(scratch_has(scratch, "outside"));
}

static void a_collection_takes_what_nobody_receives(void **state)
{
	const struct gc_request request = {};
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	struct gc_result result = {};
	struct cop_error err = {};

	put_piece(&attempt, 1);
	assert_ok(store_gc(scratch->store, &request, &result, &err), &err);
	assert_int_equal(scratch_count(scratch, "store/partial"), 1);
	end(&attempt);
	assert_ok(store_gc(scratch->store, &request, &result, &err), &err);
	assert_int_equal(scratch_count(scratch, "store/partial"), 0);
	assert_int_equal(result.gone[GC_REST].n, 1);
	assert_true(result.gone[GC_REST].n_bytes >= RECEIVED_PIECE);
}

/* Each is open only while its pieces come. */
static void many_files_need_no_descriptors(void **state)
{
	struct scratch *scratch = *state;
	struct attempt attempt = begin(scratch);
	size_t n_before = scratch_count(scratch, "/proc/self/fd");
	struct received *all[500];
	struct cop_error err = {};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct cop_digest other = digest;

		other.bytes[0] ^= (uint8_t)(1 + i);
		other.bytes[1] ^= (uint8_t)(i >> 8);
		assert_ok(received_new(attempt.staging, &other, SIZE, &all[i], &err),
			  &err);
	}
	assert_int_equal(scratch_count(scratch, "/proc/self/fd"), n_before);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		(void)received_free(all[i]);
	end(&attempt);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(pieces_in_any_order_are_the_file),
		T(what_came_is_found_by_the_next_attempt),
		T(a_file_that_was_whole_but_not_ended_is_ended),
		T(two_at_once_do_not_meet),
		T(a_lost_piece_is_noticed_and_all_comes_again),
		T(another_file_is_refused_and_leaves_nothing),
		T(what_does_not_fit_is_not_used),
		T(a_collection_takes_what_nobody_receives),
		T(many_files_need_no_descriptors),
	};

	return cmocka_run_group_tests_name("large files in pieces", tests, NULL, NULL);
}
