/* SPDX-License-Identifier: Apache-2.0 */
/* Which part of the archive a solver has to see. */
#include "testlib.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "recipe/index.h"

static const char list[] = "Package: init\nVersion: 1\nEssential: yes\n"
			   "Pre-Depends: libinit (>= 2) | initless, other:any [amd64]\n\n"
			   "Package: app\nVersion: 1\nDepends: mail-agent,\n two-lines\n"
			   "Recommends: nice\nSuggests: never\n\n"
			   "Package: app\nVersion: 2\nDepends: newer\n\n"
			   "Package: exim\nVersion: 1\nProvides: x, mail-agent (= 2)\n\n"
			   "Package: libinit\nVersion: 1\n\n"
			   "Package: initless\nVersion: 1\nDepends: app-not\n\n"
			   "Package: other\nVersion: 1\nDepends: init\n\n"
			   "Package: two-lines\nVersion: 1\n\n"
			   "Package: newer\nVersion: 1\n\n"
			   "Package: nice\nVersion: 1\n\n"
			   "Package: never\nVersion: 1\n\n"
			   "Package: mail\nVersion: 1\nProvides: mail-agents\n\n"
			   "Package: must\nVersion: 1\nPriority: required\n";

static char *write_list(void)
{
	static char path[64];
	auto_close int fd = -EBADF;

	(void)strcpy(path, "/tmp/test-index-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, list, strlen(list)), 0);
	return path;
}

/* The names that are reached, in the order of the list. */
static void reached(const char *const *names, bool recommends, struct buf *text)
{
	auto_ptr(index) index = index_new();
	const char *path = write_list();
	struct cop_error err = {};
	auto_buf all = {};

	assert_ok(index_add_file(index, path, "r", &err), &err);
	assert_ok(index_reach(index, names, recommends, &err), &err);
	assert_ok(index_write_reached(index, path, NULL, &all, &err), &err);
	(void)unlink(path);
	for (const char *at = buf_text(&all); (at = strstr(at, "Package: "));) {
		at += strlen("Package: ");
		(void)buf_printf(text, "%.*s ", (int)strcspn(at, "\n"), at);
	}
}

static void the_essential_and_all_its_alternatives_are_always_there(void **state)
{
	static const char *const nothing[] = {NULL};
	auto_buf text = {};

	(void)state;
	reached(nothing, false, &text);
	assert_string_equal(buf_text(&text), "init libinit initless other must ");
}

static void every_version_and_provider_is_followed(void **state)
{
	static const char *const app[] = {"app", NULL};
	auto_buf text = {}, more = {};

	(void)state;
	reached(app, false, &text);
	assert_string_equal(buf_text(&text), "init app app exim libinit initless other "
					     "two-lines newer must ");
	reached(app, true, &more);
	assert_non_null(strstr(buf_text(&more), " nice "));
	assert_null(strstr(buf_text(&more), "never"));
}

static void stanzas_come_out_as_they_were(void **state)
{
	static const char *const app[] = {"app", NULL};
	auto_ptr(index) index = index_new();
	const char *path = write_list();
	struct cop_error err = {};
	auto_buf all = {};

	(void)state;
	assert_ok(index_add_file(index, path, "r", &err), &err);
	assert_ok(index_reach(index, app, true, &err), &err);
	assert_ok(index_write_reached(index, path, NULL, &all, &err), &err);
	(void)unlink(path);
	assert_true(strncmp(all.data, list, strlen("Package: init\nVersion: 1\n")) == 0);
	assert_non_null(strstr(all.data, "Depends: mail-agent,\n two-lines\nRecommends"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_essential_and_all_its_alternatives_are_always_there),
		cmocka_unit_test(every_version_and_provider_is_followed),
		cmocka_unit_test(stanzas_come_out_as_they_were),
	};

	return cmocka_run_group_tests_name("recipe index", tests, NULL, NULL);
}
