/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes of one store that run at once.  flock(2) of this program lets another push act
 * between the opening and the locking of a marker's file. */
#include "testlib.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "remote/private.h"

struct place {
	char top[64];
	struct remote remote;
};

/* What the other push does, and where; once. */
static void (*meanwhile)(struct remote *remote);
static struct remote *shared;
static struct marker other;

int flock(int fd, int operation)
{
	void (*once)(struct remote * remote) = meanwhile;

	meanwhile = NULL;
	if (once)
		once(shared);
	return (int)syscall(SYS_flock, fd, operation);
}

static size_t n_files(const struct place *place, const char *dir)
{
	auto_close int fd =
		openat(place->remote.dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char **names = NULL;
	size_t n = 0;

	assert_int_equal(fs_list(fd, &names, &n, NULL), 0);
	fs_list_free(names);
	return n;
}

static int begin(void **state)
{
	static struct place place;
	struct cop_error err = {};
	char url[80];

	place = (struct place){.top = "/tmp/coppice-test-pushes-XXXXXX"};
	assert_non_null(mkdtemp(place.top));
	(void)snprintf(url, sizeof(url), "file://%s", place.top);
	assert_ok(transport_open(&(struct transport_options){.url = url},
				 &place.remote.transport, &err),
		  &err);
	place.remote.dir_fd = open(place.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	shared = &place.remote;
	*state = &place;
	return 0;
}

static int end(void **state)
{
	struct place *place = *state;

	(void)transport_free(place->remote.transport);
	closep(&place->remote.dir_fd);
	return fs_remove_all(AT_FDCWD, place->top, false, NULL);
}

static void begin_other(struct remote *remote)
{
	struct cop_error err = {};

	assert_ok(marker_begin(remote, &other, &err), &err);
}

static void end_other(struct remote *remote)
{
	(void)remote;
	marker_end(&other, true);
}

static void a_marker_that_another_push_takes_over_is_replaced(void **state)
{
	struct place *place = *state;
	struct marker marker;
	struct cop_error err = {};

	meanwhile = begin_other;
	assert_ok(marker_begin(&place->remote, &marker, &err), &err);
	assert_string_not_equal(marker.id, other.id);
	assert_int_equal(n_files(place, "push"), 2);
	assert_int_equal(n_files(place, "v1/w"), 2);
	marker_end(&marker, true);
	assert_int_equal(n_files(place, "v1/w"), 1);
	end_other(&place->remote);
	assert_int_equal(n_files(place, "push"), 0);
	assert_int_equal(n_files(place, "v1/w"), 0);
}

/* Its file would be forgotten, and nobody could take the marker over. */
static void a_marker_whose_push_ends_just_then_is_not_taken_over(void **state)
{
	struct place *place = *state;
	struct marker marker;
	struct cop_error err = {};

	begin_other(&place->remote);
	meanwhile = end_other;
	assert_ok(marker_begin(&place->remote, &marker, &err), &err);
	assert_int_equal(n_files(place, "push"), 1);
	marker_end(&marker, true);
	assert_int_equal(n_files(place, "v1/w"), 0);
}

static void a_marker_of_a_push_that_was_killed_is_taken_over(void **state)
{
	struct place *place = *state;
	struct marker marker;
	struct cop_error err = {};
	char id[sizeof(marker.id)];

	begin_other(&place->remote);
	memcpy(id, other.id, sizeof(id));
	marker_end(&other, false);
	assert_ok(marker_begin(&place->remote, &marker, &err), &err);
	assert_string_equal(marker.id, id);
	marker_end(&marker, true);
	assert_int_equal(n_files(place, "push"), 0);
}

/* Each clears what it has sent itself, and what it found. */
static void a_push_that_ends_leaves_the_journal_of_another_alone(void **state)
{
	struct place *place = *state;
	struct remote *remote = &place->remote;
	struct upload_pack mine = {.id = {1}}, theirs = {.id = {2}};
	struct upload upload = {.packs = &mine, .n_packs = 1};
	struct journal found = {};
	struct cop_error err = {};
	char id[SHA256_HEX + 1];

	assert_ok(journal_load(remote, &found, &err), &err);
	(void)hex_encode(mine.id, SHA256_SIZE, id);
	assert_ok(journal_add(remote, id, 100, "tail", 4, &err), &err);
	(void)hex_encode(theirs.id, SHA256_SIZE, id);
	assert_ok(journal_add(remote, id, 100, "tail", 4, &err), &err);
	journal_clear(remote, &found, &upload);
	assert_int_equal(n_files(place, "journal"), 1);
	journal_done(&found);

	/* A pack that the place does not have is no use; one that is being entered is
	 * left alone. */
	assert_ok(fs_replace_at(remote->dir_fd, "journal/.tmp-1", "x", 1, 0600, &err),
		  &err);
	assert_ok(journal_load(remote, &found, &err), &err);
	assert_null(found.segment);
	journal_done(&found);
	assert_int_equal(n_files(place, "journal"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_marker_that_another_push_takes_over_is_replaced, begin, end),
		cmocka_unit_test_setup_teardown(
			a_marker_whose_push_ends_just_then_is_not_taken_over, begin, end),
		cmocka_unit_test_setup_teardown(
			a_marker_of_a_push_that_was_killed_is_taken_over, begin, end),
		cmocka_unit_test_setup_teardown(
			a_push_that_ends_leaves_the_journal_of_another_alone, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
