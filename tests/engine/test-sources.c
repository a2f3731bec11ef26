/* SPDX-License-Identifier: Apache-2.0 */
/* The source modules, started as the engine starts them; no privilege needed. */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "base/text.h"
#include "digest/sha256.h"
#include "engine/service.h"

#define SHA256_FOO \
	"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
#define MD5_FOO "md5:acbd18db4cc2f85cedef654fccc4a4d8"

struct world {
	char path[64];	/* the cache is here */
	char files[96]; /* where downloads arrive */
	pid_t server;
	int server_input;
	unsigned int port;
	json_int_t progress;
};

static void start_server(struct world *world)
{
	const char *script = getenv("COPPICE_TEST_SERVER");
	const char *const argv[] = {"python3", script, NULL};
	posix_spawn_file_actions_t actions;
	int input[2], output[2];
	char text[16] = "";
	size_t n = 0;

	assert_non_null(script);
	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, input[0], 0);
	(void)posix_spawn_file_actions_adddup2(&actions, output[1], 1);
	assert_int_equal(posix_spawnp(&world->server, "python3", &actions, NULL,
				      (char *const *)(uintptr_t)argv, environ),
			 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(input[0]);
	(void)close(output[1]);
	world->server_input = input[1];
	while (n < sizeof(text) - 1 && !strchr(text, '\n')) {
		assert_int_equal(read(output[0], text + n, 1), 1);
		n++;
	}
	(void)close(output[0]);
	world->port = (unsigned int)atoi(text);
	assert_true(world->port > 0);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	/* Proxies of the machine are not for a server on it. */
	assert_int_equal(setenv("no_proxy", "127.0.0.1", 1), 0);
	(void)snprintf(world->path, sizeof(world->path), "/tmp/coppice-test-XXXXXX");
	assert_non_null(mkdtemp(world->path));
	(void)snprintf(world->files, sizeof(world->files), "%s/org.osbuild.files",
		       world->path);
	start_server(world);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	(void)close(world->server_input);
	(void)waitpid(world->server, NULL, 0);
	(void)fs_remove_all(AT_FDCWD, world->path, true, NULL);
	free(world);
	return 0;
}

static void hear_progress(void *data, const char *id, const json_t *value)
{
	const json_t *progress = json_object_get(value, "progress");

	(void)id;
	((struct world *)data)->progress =
		json_integer_value(json_object_get(progress, "done"));
}

static void start_module(struct world *world, const char *module,
			 const struct service_listener *listener,
			 struct service **ret_service)
{
	const char *libdir = getenv("COPPICE_TEST_LIBDIR");
	struct cop_error err = {};
	char path[512];

	(void)world;
	assert_non_null(libdir);
	(void)snprintf(path, sizeof(path), "%s/sources/%s", libdir, module);
	assert_ok(service_start(path, module, libdir, listener, ret_service, &err), &err);
}

/* @items and @options are consumed; the reply of "download". */
static json_t *download_with(struct world *world, const char *module, json_t *items,
			     json_t *options)
{
	const struct service_listener listener = {.signal = hear_progress, .data = world};
	auto_json *arguments = json_pack("{s:o, s:o, s:s}", "items", items, "options",
					 options, "cache", world->path);
	struct cop_error err = {};
	auto_service *service = NULL;
	json_t *reply = NULL;

	assert_non_null(arguments);
	start_module(world, module, &listener, &service);
	assert_ok(service_request(service, "download", arguments, &err), &err);
	assert_ok(services_wait(&service, 1, NULL, 0, &err), &err);
	assert_ok(service_reply(service, &reply, &err), &err);
	return reply;
}

static json_t *download(struct world *world, const char *module, json_t *items)
{
	return download_with(world, module, items, json_object());
}

static const char *error_of(const json_t *reply)
{
	const json_t *result = json_array_get(json_object_get(reply, "results"), 0);
	const json_t *error = json_object_get(result, "error");
	const char *value = json_string_value(
		json_object_get(json_object_get(error, "data"), "value"));

	assert_true(json_is_false(json_object_get(reply, "success")));
	assert_non_null(value);
	return value;
}

static void assert_success(const json_t *reply)
{
	if (!json_is_true(json_object_get(reply, "success")))
		fail_msg("%s", error_of(reply));
}

static json_t *url_item(struct world *world, const char *checksum, const char *path)
{
	char url[256];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", world->port, path);
	return json_pack("{s:s}", checksum, url);
}

static bool has_content(struct world *world, const char *name, const char *content)
{
	auto_buf text = {};
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", world->files, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	assert_int_equal(fs_read_all(fd, MIB, &text, NULL), 0);
	(void)close(fd);
	return strcmp(buf_text(&text), content) == 0;
}

static size_t count_files(struct world *world)
{
	DIR *dir = opendir(world->files);
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void)closedir(dir);
	return n;
}

static void a_url_is_downloaded(void **state)
{
	struct world *world = *state;
	auto_json *reply =
		download(world, "org.osbuild.curl", url_item(world, SHA256_FOO, "/foo"));

	assert_success(reply);
	assert_true(has_content(world, SHA256_FOO, "foo"));
}

static void other_checksums_fit_too(void **state)
{
	struct world *world = *state;
	auto_json *reply =
		download(world, "org.osbuild.curl", url_item(world, MD5_FOO, "/foo"));

	assert_success(reply);
	assert_true(has_content(world, MD5_FOO, "foo"));
}

static void many_files_come_and_progress_is_told(void **state)
{
	struct world *world = *state;
	json_t *items = json_object();
	auto_json *reply = NULL;

	for (int i = 0; i < 40; i++) {
		char number[16], hex[SHA256_HEX + 1], item[128], url[128];

		(void)snprintf(number, sizeof(number), "%d", i);
		assert_int_equal(sha256_bytes(number, strlen(number), hex, NULL), 0);
		(void)snprintf(item, sizeof(item), "sha256:%s", hex);
		(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/number/%d",
			       world->port, i);
		assert_int_equal(json_object_set_new(items, item, json_string(url)), 0);
	}
	reply = download(world, "org.osbuild.curl", items);
	assert_success(reply);
	assert_int_equal(count_files(world), 40);
	assert_int_equal(world->progress, 40);
}

static void a_wrong_checksum_names_item_url_and_both_sums(void **state)
{
	struct world *world = *state;
	auto_json *reply =
		download(world, "org.osbuild.curl",
			 url_item(world, "md5:00000000000000000000000000000000", "/foo"));
	char expected[256];

	(void)snprintf(expected, sizeof(expected),
		       "http://127.0.0.1:%u/foo: wrong checksum: expected "
		       "md5:00000000000000000000000000000000, got " MD5_FOO,
		       world->port);
	assert_string_equal(error_of(reply), expected);
	assert_int_equal(count_files(world), 0);
}

static void a_missing_page_is_named_and_not_asked_for_again(void **state)
{
	struct world *world = *state;
	time_t start = time(NULL);
	auto_json *reply =
		download(world, "org.osbuild.curl", url_item(world, SHA256_FOO, "/nope"));

	assert_non_null(strstr(error_of(reply), "/nope': The requested URL returned "
						"error: 404"));
	assert_null(strstr(error_of(reply), "several times"));
	assert_true(time(NULL) - start < 5);
	assert_int_equal(count_files(world), 0);
}

static void a_dead_mirror_is_named_with_the_reason(void **state)
{
	struct world *world = *state;
	auto_json *reply =
		download(world, "org.osbuild.curl",
			 json_pack("{s:s}", SHA256_FOO, "http://127.0.0.1:1/foo"));

	assert_non_null(strstr(error_of(reply), "download 'http://127.0.0.1:1/foo': "));
	assert_non_null(strstr(error_of(reply), "Failed to connect"));
	assert_non_null(strstr(error_of(reply), "tried several times"));
}

static void what_fails_at_first_is_tried_again(void **state)
{
	struct world *world = *state;
	auto_json *flaky = download(world, "org.osbuild.curl",
				    url_item(world, SHA256_FOO, "/flaky"));
	auto_json *half =
		download(world, "org.osbuild.curl", url_item(world, MD5_FOO, "/half"));

	assert_success(flaky);
	assert_success(half);
	assert_true(has_content(world, MD5_FOO, "foo"));
}

static void a_redirection_is_followed_but_not_to_files(void **state)
{
	struct world *world = *state;
	auto_json *moved = download(world, "org.osbuild.curl",
				    url_item(world, SHA256_FOO, "/moved"));
	auto_json *inwards =
		download(world, "org.osbuild.curl", url_item(world, MD5_FOO, "/inwards"));

	assert_success(moved);
	assert_non_null(strstr(error_of(inwards), "/inwards': "));
}

static void a_file_url_works(void **state)
{
	struct world *world = *state;
	char path[128], url[160];
	auto_json *reply = NULL;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/foo", world->path);
	(void)snprintf(url, sizeof(url), "file://%s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "foo", 3), 3);
	(void)close(fd);
	reply = download(world, "org.osbuild.curl",
			 json_pack("{s:{s:s}}", SHA256_FOO, "url", url));
	assert_success(reply);
	assert_true(has_content(world, SHA256_FOO, "foo"));
}

static void a_file_that_is_there_is_trusted(void **state)
{
	struct world *world = *state;
	auto_json *first =
		download(world, "org.osbuild.curl", url_item(world, SHA256_FOO, "/foo"));
	auto_json *again =
		download(world, "org.osbuild.curl", url_item(world, SHA256_FOO, "/nope"));
	const json_t *result = json_array_get(json_object_get(again, "results"), 0);

	assert_success(first);
	assert_success(again);
	assert_true(json_is_true(
		json_object_get(json_object_get(result, "metadata"), "cached")));
}

static void what_is_no_checksum_is_refused(void **state)
{
	struct world *world = *state;
	static const char *const items[] = {"sha256:12", "../x", "crc32:00000000",
					    "md5:", "sha256:zz"};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		auto_json *reply = download(world, "org.osbuild.curl",
					    url_item(world, items[i], "/foo"));

		assert_non_null(strstr(error_of(reply), "is no checksum"));
	}
}

static void a_cancelled_download_ends_at_once(void **state)
{
	struct world *world = *state;
	auto_json *arguments = json_pack("{s:o, s:{}, s:s}", "items",
					 url_item(world, SHA256_FOO, "/slow"), "options",
					 "cache", world->path);
	struct service *service = NULL;
	struct cop_error err = {};
	time_t start = time(NULL);

	start_module(world, "org.osbuild.curl", NULL, &service);
	assert_ok(service_request(service, "download", arguments, &err), &err);
	(void)sleep(1);
	(void)service_stop(service, false);
	assert_true(time(NULL) - start < 6);
	assert_int_equal(count_files(world), 0);
}

static json_t *inline_item(const char *checksum, const char *encoding, const char *data)
{
	return json_pack("{s:{s:s, s:s}}", checksum, "encoding", encoding, "data", data);
}

static void inline_data_is_decoded(void **state)
{
	struct world *world = *state;
	auto_json *plain = download(world, "org.osbuild.inline",
				    inline_item(SHA256_FOO, "base64", "Zm9v"));
	/* xz of "foo" */
	auto_json *packed = download(
		world, "org.osbuild.inline",
		inline_item(MD5_FOO, "lzma+base64",
			    "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQACZm9vAABYFal7LOYsmAABG"
			    "wMLL7kQH7bzfQEAAAAABFla"));

	assert_success(plain);
	assert_true(has_content(world, SHA256_FOO, "foo"));
	assert_success(packed);
	assert_true(has_content(world, MD5_FOO, "foo"));
}

static void wrong_inline_data_is_refused(void **state)
{
	static const struct {
		const char *encoding, *data, *message;
	} cases[] = {
		{"base64", "Zm9", "cut off base64"},
		{"base64", "Z", "cut off base64"},
		{"base64", "Zm9v!", "not base64"},
		{"base64", "Zg==Zg==", "not base64"},
		{"base64", "Zm9w", "wrong checksum"},
		{"lzma+base64", "Zm9v", "not LZMA"},
		{"lzma+base64", "/Td6WFoAAATm1rRG", "not LZMA"},
		{"rot13", "Zm9v", "unknown encoding"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_json *reply = download(
			world, "org.osbuild.inline",
			inline_item(SHA256_FOO, cases[i].encoding, cases[i].data));

		if (!strstr(error_of(reply), cases[i].message))
			fail_msg("'%s' instead of '%s'", error_of(reply),
				 cases[i].message);
		assert_int_equal(count_files(world), 0);
	}
}

static void needs_apt(void)
{
	if (access("/usr/lib/apt/apt-helper", X_OK) == 0)
		return;
	print_message("skipped: there is no apt here\n");
	skip();
}

/* A mirror in a directory: pool/foo_1.deb is "foo". */
static void make_mirror(struct world *world, char *mirror, size_t size)
{
	char path[256];
	int fd;

	(void)snprintf(mirror, size, "%s/mirror", world->path);
	assert_int_equal(mkdir(mirror, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/pool", mirror);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/pool/foo_1%%3a2+b.deb", mirror);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "foo", 3), 3);
	(void)close(fd);
}

static json_t *deb_item(const char *checksum, int size)
{
	return json_pack("{s:{s:s, s:s, s:i}}", checksum, "repository", "main", "path",
			 "pool/foo_1%3a2+b.deb", "size", size);
}

static json_t *deb_options(json_t *mirrors)
{
	return json_pack("{s:{s:{s:s, s:s, s:o}}}", "repositories", "main", "origin",
			 "Nobody", "label", "Nothing", "mirrors", mirrors);
}

static void packages_come_from_a_directory(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;
	char mirror[128];

	needs_apt();
	make_mirror(world, mirror, sizeof(mirror));
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      deb_options(json_pack("[s]", mirror)));
	assert_success(reply);
	assert_true(has_content(world, SHA256_FOO, "foo"));
	assert_int_equal(count_files(world), 1);
	assert_int_equal(world->progress, 3);
}

static void the_next_mirror_is_asked_when_one_is_dead(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;
	char mirror[128], url[160];

	needs_apt();
	make_mirror(world, mirror, sizeof(mirror));
	(void)snprintf(url, sizeof(url), "file://%s/", mirror);
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      deb_options(json_pack("[s, s, s]", "file:///nowhere",
						    "http://127.0.0.1:1/debian", url)));
	assert_success(reply);
	assert_true(has_content(world, SHA256_FOO, "foo"));
}

static void the_snapshot_archive_is_asked_last(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL, *options = NULL;
	char mirror[128], template[192], from[160];

	needs_apt();
	make_mirror(world, mirror, sizeof(mirror));
	(void)snprintf(from, sizeof(from), "%s/20261112T000000Z", world->path);
	assert_int_equal(rename(mirror, from), 0);
	(void)snprintf(template, sizeof(template), "file://%s/@SNAPSHOTID@", world->path);
	options = deb_options(json_pack("[s]", "file:///nowhere"));
	{
		json_t *repository =
			json_object_get(json_object_get(options, "repositories"), "main");

		assert_int_equal(json_object_set_new(repository, "date",
						     json_string("20261112T000000Z")),
				 0);
		assert_int_equal(json_object_set_new(repository, "snapshot",
						     json_string(template)),
				 0);
	}
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      json_incref(options));
	assert_success(reply);
}

static void a_wrong_package_is_refused_with_both_sums(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;
	char mirror[128];

	needs_apt();
	make_mirror(world, mirror, sizeof(mirror));
	reply = download_with(
		world, "org.coppice.deb",
		deb_item("sha256:00000000000000000000000000000000000000000000"
			 "00000000000000000000",
			 3),
		deb_options(json_pack("[s]", mirror)));
	assert_non_null(strstr(error_of(reply), "expected sha256:0000000000"));
	assert_non_null(strstr(error_of(reply), "got " SHA256_FOO));
	assert_int_equal(count_files(world), 0);
}

static void a_package_of_another_size_is_refused(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;
	char mirror[128];

	needs_apt();
	make_mirror(world, mirror, sizeof(mirror));
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 4),
			      deb_options(json_pack("[s]", mirror)));
	assert_non_null(strstr(error_of(reply), "wrong size: expected 4 bytes, got 3"));
}

static void a_dead_mirror_of_packages_is_named(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;

	needs_apt();
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      deb_options(json_pack("[s]", "http://127.0.0.1:1/debian")));
	assert_non_null(strstr(error_of(reply),
			       "download 'http://127.0.0.1:1/debian/pool/"
			       "foo_1%253a2+b.deb': "));
	assert_non_null(strstr(error_of(reply), "Connection refused"));
}

static void a_repository_without_a_mirror_is_named(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;

	needs_apt();
	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      json_pack("{s:{s:{s:s, s:s}}}", "repositories", "main",
					"origin", "Nobody", "label", "Nothing"));
	assert_non_null(error_of(reply));
}

/* The host's own mirrors must not be asked for a path of somebody's disk. */
static void a_package_beside_a_recipe_has_no_mirror(void **state)
{
	struct world *world = *state;
	auto_json *reply = NULL;

	reply = download_with(world, "org.coppice.deb", deb_item(SHA256_FOO, 3),
			      json_pack("{s:{s:{s:s, s:b}}}", "repositories", "main",
					"origin", "", "local", 1));
	assert_non_null(strstr(error_of(reply), "pool/foo_1%3a2+b.deb' lies beside a "
						"recipe and is not in the store: build "
						"that recipe, not its manifest"));
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_url_is_downloaded),
		WITH_SERVER(other_checksums_fit_too),
		WITH_SERVER(many_files_come_and_progress_is_told),
		WITH_SERVER(a_wrong_checksum_names_item_url_and_both_sums),
		WITH_SERVER(a_missing_page_is_named_and_not_asked_for_again),
		WITH_SERVER(a_dead_mirror_is_named_with_the_reason),
		WITH_SERVER(what_fails_at_first_is_tried_again),
		WITH_SERVER(a_redirection_is_followed_but_not_to_files),
		WITH_SERVER(a_file_url_works),
		WITH_SERVER(a_file_that_is_there_is_trusted),
		WITH_SERVER(what_is_no_checksum_is_refused),
		WITH_SERVER(a_cancelled_download_ends_at_once),
		WITH_SERVER(inline_data_is_decoded),
		WITH_SERVER(wrong_inline_data_is_refused),
		WITH_SERVER(packages_come_from_a_directory),
		WITH_SERVER(the_next_mirror_is_asked_when_one_is_dead),
		WITH_SERVER(the_snapshot_archive_is_asked_last),
		WITH_SERVER(a_wrong_package_is_refused_with_both_sums),
		WITH_SERVER(a_package_of_another_size_is_refused),
		WITH_SERVER(a_dead_mirror_of_packages_is_named),
		WITH_SERVER(a_repository_without_a_mirror_is_named),
		WITH_SERVER(a_package_beside_a_recipe_has_no_mirror),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
