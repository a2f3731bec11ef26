/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories of a recipe besides Debian's own: reading, locking, and what the tree's
 * apt gets of them. */
#include "recipe/world.h"

#include <fcntl.h>

#include "base/fs.h"
#include "base/text.h"
#include "recipe/check.h"
#include "json/json.h"

#define VENDOR                                            \
	"repositories:\n- id: vendor\n  baseurls: %s%s\n" \
	"  suites: stable\n  components: main\n  gpgkeys: %s\n%s"

static struct recipe *vendor_recipe(const struct world *world, const char *urls,
				    const char *key, const char *rest)
{
	auto_buf text = {}, place = {};

	(void)buf_printf(&place, "file:%s/", world->dir);
	(void)buf_printf(&text, VENDOR, place.data, urls, key, rest);
	return plain_recipe(world, text.data);
}

static struct recipe *gadget_recipe(const struct world *world)
{
	return vendor_recipe(world, "vendor", "vendor.asc", "packages: [gadget]\n");
}

static const struct lock_repository *find(const struct lock *lock, const char *id)
{
	for (size_t i = 0; i < lock->n_repositories; i++)
		if (strcmp(lock->repositories[i].id, id) == 0)
			return &lock->repositories[i];
	return NULL;
}

static void read_file(const char *path, struct buf *content)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct cop_error err = {};

	assert_true(fd >= 0);
	assert_ok(fs_read_all(fd, MIB, content, &err), &err);
}

static void its_packages_are_locked_with_its_own_key(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) again = NULL;
	const struct lock_repository *vendor;
	struct cop_error err = {};
	auto_buf text = {};

	NEED_TOOLS();
	recipe = gadget_recipe(world);
	lock = solved(world, recipe, NULL);
	vendor = find(lock, "vendor/stable");
	assert_non_null(vendor);
	assert_int_equal(lock->n_repositories, 4);
	assert_string_equal(vendor->origin, "Vendor");
	assert_string_equal(vendor->label, "Vendor, Inc.");
	assert_string_equal(vendor->suite, "stable");
	assert_int_equal(strlen(vendor->keys[0]), 40);
	assert_null(vendor->keys[1]);
	assert_string_not_equal(vendor->keys[0], lock->repositories[0].keys[0]);
	assert_string_equal(lock_find(lock, "gadget")->repository, "vendor/stable");
	assert_string_equal(lock_find(lock, "gadget-data")->repository, "vendor/stable");
	assert_string_equal(lock_find(lock, "shared")->repository, "trixie");
	assert_string_equal(lock->date, "20240101T100000Z");
	assert_ok(lock_format(lock, &text, &err), &err);
	assert_null(strstr(text.data, world->dir));
	assert_ok(lock_parse("again", text.data, text.size, &again, &err), &err);
}

static void the_base_is_the_same_with_and_without_it(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) with = NULL;
	auto_ptr(recipe) without = NULL;
	auto_ptr(lock) one = NULL;
	auto_ptr(lock) other = NULL;

	NEED_TOOLS();
	/* It has a newer tiny-lib. */
	with = gadget_recipe(world);
	without = plain_recipe(world, "packages: [app]\n");
	one = solved(world, with, NULL);
	other = solved(world, without, NULL);
	for (size_t i = 0; strcmp(one->packages[i].layer, BASE_LAYER) == 0; i++)
		assert_string_equal(one->packages[i].sha256, other->packages[i].sha256);
	assert_string_equal(version_of(one, "tiny-lib"), "1.0");
	assert_int_equal(one->source_epoch, other->source_epoch);
}

static void what_would_change_the_base_is_refused(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = vendor_recipe(world, "vendor", "vendor.asc", "packages: [eager]\n");
	refused(world, recipe,
		"/r.yaml:11:12: package 'eager' of group 'packages': it would change "
		"'tiny-lib' of the base layer from 1.0 to 9.0");
}

static void a_priority_decides_between_versions(void **state)
{
	static const struct {
		const char *rest, *version;
	} cases[] = {{"packages: [app]\n", "9.0"},
		     {"  priority: 100\npackages: [app]\n", "1.0"},
		     {"  priority: -1\npackages: [app]\n", "1.0"},
		     {"  priority: 100\npackages: [app=9*]\n", "9.0"}};
	struct world *world = *state;

	NEED_TOOLS();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_ptr(recipe) recipe =
			vendor_recipe(world, "vendor", "vendor.asc", cases[i].rest);
		auto_ptr(lock) lock = solved(world, recipe, NULL);

		assert_string_equal(version_of(lock, "app"), cases[i].version);
	}
}

static void of_one_version_with_two_contents_debians_is_taken(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;

	NEED_TOOLS();
	recipe = vendor_recipe(world, "vendor", "vendor.asc",
			       "  priority: 990\npackages: [other]\n");
	lock = solved(world, recipe, NULL);
	assert_string_equal(lock_find(lock, "other")->repository, "trixie");
	assert_null(lock_find(lock, "gadget-data"));
}

static void a_directory_without_suites_is_a_repository(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_ptr(lock) again = NULL;
	struct cop_error err = {};
	auto_buf text = {};

	NEED_TOOLS();
	(void)buf_printf(&text,
			 "repositories:\n- id: flat\n  baseurls: file:%s/flat/\n"
			 "  suites: ./\n  gpgkeys: vendor.gpg\npackages: [flat-app]\n",
			 world->dir);
	recipe = plain_recipe(world, text.data);
	lock = solved(world, recipe, NULL);
	assert_non_null(find(lock, "flat/./"));
	assert_null(find(lock, "flat/./")->components[0]);
	assert_string_equal(lock_find(lock, "flat-app")->repository, "flat/./");
	assert_true(text_starts_with(lock_find(lock, "flat-app")->path, "pool/flat-app"));
	buf_truncate(&text, 0);
	assert_ok(lock_format(lock, &text, &err), &err);
	assert_ok(lock_parse("again", text.data, text.size, &again, &err), &err);
	assert_null(find(again, "flat/./")->components[0]);
}

static void two_suites_are_two_repositories(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	/* apt writes such an address in another way when it names its files. */
	run_shell(world, "ln -s vendor \"$0/a_b~c\"");
	(void)buf_printf(&text,
			 "repositories:\n- id: vendor\n  baseurls: [file:%s/a_b~c]\n"
			 "  suites: [stable, edge]\n  components: [main]\n"
			 "  gpgkeys: [wrong.gpg, vendor.gpg]\npackages: [gadget]\n",
			 world->dir);
	recipe = plain_recipe(world, text.data);
	lock = solved(world, recipe, NULL);
	assert_non_null(find(lock, "vendor/stable"));
	assert_non_null(find(lock, "vendor/edge"));
	assert_string_equal(lock_find(lock, "gadget")->repository, "vendor/stable");
}

static void a_key_may_stand_in_the_recipe(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf armor = {}, text = {};
	char *rest, *line;

	NEED_TOOLS();
	(void)buf_printf(&text, "%s/vendor.asc", world->dir);
	read_file(text.data, &armor);
	buf_truncate(&text, 0);
	(void)buf_append_text(&text, "|\n");
	rest = armor.data;
	while ((line = strsep(&rest, "\n")))
		(void)buf_printf(&text, "    %s\n", line);
	recipe = vendor_recipe(world, "vendor", text.data, "packages: [gadget]\n");
	lock = solved(world, recipe, NULL);
	assert_string_equal(lock_find(lock, "gadget")->repository, "vendor/stable");
}

static void a_wrong_key_is_told_with_the_place_of_the_repository(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) debians = NULL;

	NEED_TOOLS();
	recipe = vendor_recipe(world, "vendor", "wrong.gpg", "packages: [gadget]\n");
	refused(world, recipe, "/r.yaml:6:3: repository 'vendor': ");
	refused(world, recipe, "/vendor stable InRelease' is not signed.");
	/* The archive's key speaks for the archive. */
	debians = vendor_recipe(world, "vendor", "good.gpg", "packages: [gadget]\n");
	refused(world, debians, "/r.yaml:6:3: repository 'vendor': ");
}

static void its_key_does_not_speak_for_debian(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	run_shell(world,
		  "cd \"$0/main/dists/trixie\" && export GNUPGHOME=\"$0/gnupg\" && "
		  "gpg --batch --quiet --output Release --decrypt InRelease "
		  "2>/dev/null && gpg --batch --quiet --pinentry-mode loopback "
		  "--passphrase '' --yes --local-user vendor@example.org "
		  "--clearsign --output InRelease Release && rm Release; "
		  "gpgconf --kill all");
	recipe = gadget_recipe(world);
	refused(world, recipe, "no mirror has trixie: ");
	refused(world, recipe, "main trixie InRelease' is not signed.");
}

static void without_a_release_file_or_signature_it_is_refused(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) nowhere = NULL;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	nowhere = vendor_recipe(world, "nowhere", "vendor.asc", "packages: [gadget]\n");
	refused(world, nowhere, "/r.yaml:6:3: repository 'vendor': File not found - ");
	refused(world, nowhere, "/nowhere stable Release' does not have a Release file.");
	recipe = gadget_recipe(world);
	run_shell(world,
		  "cd \"$0/vendor/dists/stable\" && "
		  "sed -n '/^Origin/,/^-----BEGIN/p' InRelease | sed '$d' >Release "
		  "&& rm InRelease");
	refused(world, recipe, "/r.yaml:6:3: repository 'vendor': The repository 'file:");
	refused(world, recipe, "/vendor stable Release' is not signed.");
}

static void a_changed_list_is_refused(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;

	NEED_TOOLS();
	recipe = gadget_recipe(world);
	run_shell(world, "for f in \"$0\"/vendor/dists/stable/main/*/Packages; do "
			 "sed -i s/gadget-data/gadget-dada/ \"$f\"; done");
	refused(world, recipe, "/r.yaml:6:3: repository 'vendor': Hash Sum mismatch ");
}

static void after_a_dead_address_the_next_is_tried(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	(void)buf_printf(&text,
			 "repositories:\n- id: vendor\n"
			 "  baseurls: [file:/nonexistent, file:%s/vendor]\n"
			 "  suites: stable\n  components: main\n  gpgkeys: vendor.asc\n"
			 "packages: [gadget]\n",
			 world->dir);
	recipe = plain_recipe(world, text.data);
	lock = solved(world, recipe, NULL);
	assert_string_equal(version_of(lock, "gadget"), "1.0");
	assert_non_null(strstr(buf_text(&world->notes),
			       "mirror 'file:/nonexistent/' failed, trying the next: "));
}

static void another_name_in_its_release_file_is_told(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_buf text = {};

	NEED_TOOLS();
	run_shell(world, "ln -s stable \"$0/vendor/dists/newest\"");
	(void)buf_printf(&text,
			 "repositories:\n- id: vendor\n  baseurls: file:%s/vendor\n"
			 "  suites: newest\n  components: main\n"
			 "  gpgkeys: vendor.asc\npackages: [gadget]\n",
			 world->dir);
	recipe = plain_recipe(world, text.data);
	lock = solved(world, recipe, NULL);
	assert_string_equal(buf_text(&world->notes),
			    "repository 'vendor' says that it is 'stable', not "
			    "'newest'\n");
}

static void the_key_is_part_of_the_request_and_the_address_is_not(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(recipe) moved = NULL;
	auto_ptr(recipe) keyed = NULL;
	auto_ptr(recipe) ranked = NULL;
	auto_ptr(recipe) off = NULL;

	NEED_TOOLS();
	recipe = gadget_recipe(world);
	moved = vendor_recipe(world, "nowhere", "vendor.asc", "packages: [gadget]\n");
	keyed = vendor_recipe(world, "vendor", "wrong.gpg", "packages: [gadget]\n");
	ranked = vendor_recipe(world, "vendor", "vendor.asc",
			       "  priority: 1\npackages: [gadget]\n");
	off = vendor_recipe(world, "vendor", "vendor.asc",
			    "  enabled: no\npackages: [gadget]\n");
	assert_string_equal(recipe->request, moved->request);
	assert_string_equal(recipe->request, off->request);
	assert_string_not_equal(recipe->request, keyed->request);
	assert_string_not_equal(recipe->request, ranked->request);
}

static void packages_of_a_repository_that_is_gone_are_not_kept(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) before = NULL;
	auto_ptr(recipe) after = NULL;
	auto_ptr(lock) old = NULL;
	auto_ptr(lock) lock = NULL;

	NEED_TOOLS();
	before = vendor_recipe(world, "vendor", "vendor.asc", "packages: [app]\n");
	old = solved(world, before, NULL);
	assert_string_equal(version_of(old, "app"), "9.0");
	after = plain_recipe(world, "packages: [app]\n");
	lock = solved(world, after, old);
	assert_string_equal(version_of(lock, "app"), "1.0");
	assert_string_equal(buf_text(&world->notes),
			    "'app' 9.0 is no longer in the archive: now 1.0\n");
}

/* --- the tree --- */

/* What the tree's file @path holds, decoded; NULL: it has none. */
static const json_t *file_of(const json_t *manifest, const char *path)
{
	json_t *tree = json_array_get(json_object_get(manifest, "pipelines"), 0);
	json_t *stage, *file;
	size_t i, j;

	json_array_foreach (json_object_get(tree, "stages"), i, stage)
		json_array_foreach (
			json_object_get(json_object_get(stage, "options"), "files"), j,
			file)
			if (strcmp(json_string_value(json_object_get(file, "path")),
				   path) == 0)
				return file;
	return NULL;
}

static void assert_file(const json_t *manifest, const char *path, const char *content)
{
	const json_t *file = file_of(manifest, path);
	char hex[SHA256_HEX + 1];
	auto_buf checksum = {};
	json_t *items =
		json_object_get(json_object_get(json_object_get(manifest, "sources"),
						"org.osbuild.inline"),
				"items");

	assert_non_null(file);
	assert_int_equal(sha256_bytes(content, strlen(content), hex, NULL), 0);
	(void)buf_printf(&checksum, "sha256:%s", hex);
	assert_string_equal(json_string_value(json_object_get(file, "checksum")),
			    checksum.data);
	assert_non_null(json_object_get(items, checksum.data));
}

static void the_trees_apt_knows_it_by_its_key(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_json *manifest = NULL;
	struct cop_error err = {};
	auto_buf text = {}, key = {};
	json_t *places;

	NEED_TOOLS();
	recipe = vendor_recipe(world, "vendor", "vendor.asc",
			       "  name: Of the vendor\n  priority: 100\n"
			       "  enabled: false\npackages: [gadget]\n");
	lock = solved(world, recipe, NULL);
	assert_ok(recipe_manifest(recipe, lock, false, &manifest, &err), &err);
	(void)buf_printf(&text, "%s/vendor.asc", world->dir);
	read_file(text.data, &key);
	assert_file(manifest, "/etc/apt/keyrings/vendor.asc", buf_text(&key));
	buf_truncate(&text, 0);
	(void)buf_printf(&text,
			 "# Of the vendor\nTypes: deb\nURIs: file:%s/vendor\n"
			 "Suites: stable\nComponents: main\n"
			 "Signed-By: /etc/apt/keyrings/vendor.asc\nEnabled: no\n",
			 world->dir);
	assert_file(manifest, "/etc/apt/sources.list.d/vendor.sources", text.data);
	assert_file(manifest, "/etc/apt/preferences.d/vendor.pref",
		    "Package: *\nPin: release o=Vendor,l=Vendor? Inc.,n=stable\n"
		    "Pin-Priority: 100\n\n"
		    "Package: *\nPin: release o=Vendor,l=Vendor? Inc.,a=stable\n"
		    "Pin-Priority: 100\n\n");
	/* Packages are looked for where the recipe says. */
	places = json_object_get(
		json_object_get(json_object_get(json_object_get(manifest, "sources"),
						"org.coppice.deb"),
				"options"),
		"repositories");
	buf_truncate(&text, 0);
	(void)buf_printf(&text, "file:%s/vendor", world->dir);
	assert_string_equal(
		json_string_value(json_array_get(
			json_object_get(json_object_get(places, "vendor/stable"),
					"mirrors"),
			0)),
		text.data);
}

/* --- reading --- */

#define HEAD "suite: trixie\narchitecture: amd64\nrepositories:\n"

static void refuses(const char *text, const char *wanted)
{
	struct recipe *recipe = NULL;
	struct cop_error err = {};

	assert_fails(recipe_parse("r.yaml", text, strlen(text), &recipe, &err), -EINVAL,
		     &err);
	assert_string_equal(err.message, wanted);
}

static void mistakes_are_told_with_line_and_column(void **state)
{
	(void)state;
	refuses(HEAD "  id: a\n",
		"r.yaml:4:3: repositories: a list is wanted, not a mapping");
	refuses(HEAD "- id: A b\n",
		"r.yaml:4:7: id: 'A b' cannot be a repository's: lower-case letters, "
		"digits, '-', '.' and '_', and not 'debian'");
	refuses(HEAD "- id: debian\n",
		"r.yaml:4:7: id: 'debian' cannot be a repository's: lower-case letters, "
		"digits, '-', '.' and '_', and not 'debian'");
	refuses(HEAD "- id: a\n", "r.yaml:4:3: repository 'a': there is no 'baseurls'");
	refuses(HEAD "- id: a\n  url: http://a/\n", "r.yaml:5:3: unknown key 'url'");
	refuses(HEAD "- id: a\n  baseurl: http://a/\n",
		"r.yaml:5:3: unknown key 'baseurl'; did you mean 'baseurls'?");
	refuses(HEAD "- id: a\n  baseurls: ftp://a/\n",
		"r.yaml:5:13: baseurls: 'ftp://a/' does not start with http://, https:// "
		"or file:/");
	refuses(HEAD "- id: a\n  suites: ../..\n",
		"r.yaml:5:11: suites: '../..' is not a suite's name");
	refuses(HEAD "- id: a\n  suites: [x, x]\n",
		"r.yaml:5:15: suites: 'x' is given twice");
	refuses(HEAD "- id: a\n  components: 'a b'\n",
		"r.yaml:5:15: components: 'a b' is not a component's name");
	refuses(HEAD "- id: a\n  priority: 0\n",
		"r.yaml:5:13: priority: '0' is not one of apt's, such as 100 or 990");
	refuses(HEAD "- id: a\n  priority: 40000\n",
		"r.yaml:5:13: priority: '40000' is not one of apt's, such as 100 or 990");
	refuses(HEAD "- id: a\n  snapshot: http://a/\n",
		"r.yaml:5:13: snapshot: 'http://a/' has no @SNAPSHOTID@ in it, where the "
		"date goes");
}

static void keys_are_looked_at(void **state)
{
	struct world *world = *state;
	auto_buf text = {}, wanted = {};

	refuses(HEAD "- id: a\n  gpgkeys: ../a.asc\n",
		"r.yaml:5:12: gpgkeys: '../a.asc' is neither a path below the recipe's "
		"directory nor a key that begins with -----BEGIN PGP PUBLIC KEY "
		"BLOCK-----");
	refuses(HEAD "- id: a\n  gpgkeys: |\n    -----BEGIN PGP PRIVATE KEY BLOCK-----\n",
		"r.yaml:5:12: gpgkeys: 'the key that is given' holds something else than "
		"public keys");
	refuses(HEAD "- id: a\n  gpgkeys: []\n",
		"r.yaml:5:12: gpgkeys: 1 to 8 keys are wanted");
	refuses(HEAD "- id: a\n  gpgkeys: /dev/null\n",
		"r.yaml:5:12: gpgkeys: '/dev/null' is no OpenPGP key");
	run_shell(world,
		  "printf 'xxxxxxxxKBXfxxxx' >\"$0/box\"; echo nothing >\"$0/text\"");
	(void)buf_printf(&text, HEAD "- id: a\n  gpgkeys: %s/box\n", world->dir);
	(void)buf_printf(&wanted,
			 "r.yaml:5:12: gpgkeys: '%s/box' is a keybox; write the key with "
			 "'gpg --export' or 'gpg --armor --export'",
			 world->dir);
	refuses(text.data, wanted.data);
}

static void suites_and_components_go_together(void **state)
{
	struct world *world = *state;
	auto_buf text = {};

	NEED_TOOLS();
	(void)buf_printf(&text,
			 HEAD "- {id: a, baseurls: 'http://a/', suites: ./, components: "
			      "main, gpgkeys: %s/vendor.asc}\n",
			 world->dir);
	refuses(text.data, "r.yaml:4:3: repository 'a': suite './' is a directory, and "
			   "has no components");
	buf_truncate(&text, 0);
	(void)buf_printf(&text,
			 HEAD "- {id: a, baseurls: 'http://a/', suites: stable, gpgkeys: "
			      "%s/vendor.asc}\n",
			 world->dir);
	refuses(text.data, "r.yaml:4:3: repository 'a': suite 'stable' needs components");
	buf_truncate(&text, 0);
	for (int i = 0; i < 2; i++)
		(void)buf_printf(
			&text,
			"%s- {id: a, baseurls: 'http://a/', suites: ./, gpgkeys: "
			"%s/vendor.asc}\n",
			i ? "" : HEAD, world->dir);
	refuses(text.data, "r.yaml:5:3: repository 'a' is given twice");
}

static void names_of_suites_and_ids_are_checked(void **state)
{
	(void)state;
	assert_true(check_repository_suite("stable"));
	assert_true(check_repository_suite("bookworm/tool/7.0"));
	assert_true(check_repository_suite("./"));
	assert_true(check_repository_suite("/"));
	assert_false(check_repository_suite(""));
	assert_false(check_repository_suite("/stable"));
	assert_false(check_repository_suite("a//b"));
	assert_false(check_repository_suite("a/../b"));
	assert_false(check_repository_suite("a b"));
	assert_false(check_component("main/"));
	assert_true(check_repository_id("trixie-security"));
	assert_true(check_repository_id("vendor/./"));
	assert_false(check_repository_id("/stable"));
	assert_false(check_repository_id("vendor/"));
	assert_false(check_repository_id("Vendor/stable"));
}

static void one_of_an_extended_recipe_gives_way(void **state)
{
	struct world *world = *state;
	auto_ptr(recipe) recipe = NULL;
	auto_buf path = {}, text = {};
	struct cop_error err = {};

	NEED_TOOLS();
	run_shell(world,
		  "{ echo suite: trixie; echo repositories:; for id in one two; do echo "
		  "\"- {id: $id, baseurls: 'http://old/', suites: ./, gpgkeys: "
		  "vendor.asc}\"; done; } >\"$0/base.yaml\"");
	(void)buf_printf(&path, "%s/r.yaml", world->dir);
	(void)buf_append_text(&text, "extends: base.yaml\nrepositories:\n"
				     "- {id: two, baseurls: 'http://new/', suites: ./, "
				     "gpgkeys: vendor.gpg}\n");
	assert_ok(recipe_parse(path.data, text.data, text.size, &recipe, &err), &err);
	assert_int_equal(recipe->n_repositories, 2);
	assert_string_equal(recipe->repositories[0].uris[0], "http://old/");
	assert_string_equal(recipe->repositories[1].uris[0], "http://new/");
	assert_string_equal(recipe->repositories[1].keys[0].path,
			    "/etc/apt/keyrings/two.gpg");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(its_packages_are_locked_with_its_own_key),
		WORLD_TEST(the_base_is_the_same_with_and_without_it),
		WORLD_TEST(what_would_change_the_base_is_refused),
		WORLD_TEST(a_priority_decides_between_versions),
		WORLD_TEST(of_one_version_with_two_contents_debians_is_taken),
		WORLD_TEST(a_directory_without_suites_is_a_repository),
		WORLD_TEST(two_suites_are_two_repositories),
		WORLD_TEST(a_key_may_stand_in_the_recipe),
		WORLD_TEST(a_wrong_key_is_told_with_the_place_of_the_repository),
		WORLD_TEST(its_key_does_not_speak_for_debian),
		WORLD_TEST(without_a_release_file_or_signature_it_is_refused),
		WORLD_TEST(a_changed_list_is_refused),
		WORLD_TEST(after_a_dead_address_the_next_is_tried),
		WORLD_TEST(another_name_in_its_release_file_is_told),
		WORLD_TEST(the_key_is_part_of_the_request_and_the_address_is_not),
		WORLD_TEST(packages_of_a_repository_that_is_gone_are_not_kept),
		WORLD_TEST(the_trees_apt_knows_it_by_its_key),
		WORLD_TEST(mistakes_are_told_with_line_and_column),
		WORLD_TEST(keys_are_looked_at),
		WORLD_TEST(suites_and_components_go_together),
		WORLD_TEST(names_of_suites_and_ids_are_checked),
		WORLD_TEST(one_of_an_extended_recipe_gives_way),
	};

	return cmocka_run_group_tests_name("recipe repositories", tests,
					   world_group_setup, world_group_teardown);
}
