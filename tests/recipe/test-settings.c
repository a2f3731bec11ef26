/* SPDX-License-Identifier: Apache-2.0 */
/* How a recipe sets up the system: what it becomes in the manifest, and what is refused.
 */
#include "testlib.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "recipe/settings.h"

#define RECIPE(text) recipe_parse("r.yaml", text, strlen(text), &recipe, &err)
#define HEAD	     "suite: trixie\narchitecture: amd64\n"
#define SUM	     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY	     "0123456789ABCDEF0123456789ABCDEF01234567"
#define PACKAGE(name) \
	"package base " name " 1 amd64 1 " SUM " trixie pool/" name ".deb automatic\n"

static void refuses(const char *text, const char *wanted)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	assert_fails(RECIPE(text), -EINVAL, &err);
	assert_string_equal(err.message, wanted);
	assert_null(recipe);
}

/* The stages of the tree behind the layers, as "type options\n", options sorted. */
static void stages_of(const char *text, const char *packages, struct buf *out)
{
	auto_ptr(recipe) recipe = NULL;
	auto_ptr(lock) lock = NULL;
	auto_json *manifest = NULL;
	auto_buf lines = {};
	struct cop_error err = {};
	json_t *stage;
	size_t i;

	assert_ok(RECIPE(text), &err);
	(void)buf_printf(&lines,
			 "coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest %s\n"
			 "source-epoch 1\ndate 20240101T100000Z\n"
			 "repository trixie Debian Debian trixie main " KEY "\n%s",
			 recipe->request, packages);
	assert_ok(lock_parse("lock", lines.data, lines.size, &lock, &err), &err);
	assert_ok(recipe_manifest(recipe, lock, false, &manifest, &err), &err);
	json_array_foreach (
		json_object_get(json_array_get(json_object_get(manifest, "pipelines"), 0),
				"stages"),
		i, stage) {
		auto_free char *options = json_dumps(json_object_get(stage, "options"),
						     JSON_SORT_KEYS | JSON_COMPACT);
		const char *type = json_string_value(json_object_get(stage, "type"));

		if (!strstr(type, "coppice.deb."))
			(void)buf_printf(out, "%s %s\n", type, options);
	}
}

static void assert_has(const struct buf *text, const char *part)
{
	if (!strstr(buf_text(text), part))
		fail_msg("'%s' is not in '%s'", part, buf_text(text));
}

static void settings_become_stages_in_a_fixed_order(void **state)
{
	static const char *const order[] = {
		"org.coppice.debconf",	"org.coppice.apt.sources", "org.coppice.locale",
		"org.coppice.keyboard", "org.coppice.timezone",	   "org.osbuild.groups",
		"org.osbuild.users",	"org.coppice.directories", "org.coppice.files",
		"org.osbuild.systemd",	"org.coppice.run",	   "org.coppice.hosts",
		"org.osbuild.hostname", "org.coppice.run"};
	auto_buf text = {};
	const char *at;

	(void)state;
	stages_of(HEAD "commands: [{run: last, late: true}, first]\nhostname: h\n"
		       "services: {enabled: [a]}\nfiles: [{path: /f, content: x}]\n"
		       "directories: [{path: /d}]\nuser: [{name: u}]\n"
		       "group: [{name: g}]\ntimezone: Europe/Berlin\n"
		       "locale: {keyboard: de, languages: [C.UTF-8]}\n"
		       "debconf: [a b/c string d]\n",
		  PACKAGE("xx"), &text);
	at = buf_text(&text);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		assert_int_equal(strncmp(at, order[i], strlen(order[i])), 0);
		at = strchr(at, '\n') + 1;
	}
	assert_string_equal(at, "");
	assert_has(&text, "org.coppice.debconf {\"selections\":\"a b/c string d\\n\"}\n");
	assert_has(&text, "org.coppice.timezone {\"zone\":\"Europe/Berlin\"}\n");
	assert_has(&text, "org.coppice.keyboard {\"layout\":\"de\",\"variant\":\"\"}\n");
	assert_has(&text, "org.osbuild.groups {\"groups\":{\"g\":{}}}\n");
	assert_has(&text, "org.coppice.run {\"commands\":[\"first\"]}\n");
	assert_has(&text, "org.coppice.run {\"commands\":[\"last\"]}\n");
}

static void a_user_is_told_as_the_stage_wants_it(void **state)
{
	auto_buf text = {};

	(void)state;
	stages_of(HEAD "user:\n- name: anna\n  uid: 1500\n  description: A B\n"
		       "  groups: [adm]\n  password: $6$salt1234$0123456789\n"
		       "  keys: [ssh-ed25519 AAAA a@b]\n  sudo: yes\n"
		       "- {name: root, password: '!'}\n- {name: d.x, sudo: nopasswd}\n",
		  PACKAGE("xx"), &text);
	assert_has(&text,
		   "\"anna\":{\"description\":\"A B\",\"groups\":[\"adm\",\"sudo\"],"
		   "\"home\":\"/home/anna\",\"keys\":[\"ssh-ed25519 AAAA a@b\"],"
		   "\"password\":\"$6$salt1234$0123456789\","
		   "\"shell\":\"/bin/bash\",\"uid\":1500}");
	assert_has(&text, "\"root\":{\"password\":\"!\"}");
	assert_has(&text, "\"path\":\"/etc/sudoers.d/d_x\"");
	assert_has(&text, "\"mode\":288");
}

static void settings_bring_their_packages_in_a_layer_of_their_own(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	(void)state;
	assert_ok(RECIPE(HEAD "packages: {tools: [locales, less]}\ntimezone: UTC\n"
			      "locale: {languages: de_DE.UTF-8}\n"),
		  &err);
	assert_int_equal(recipe->n_groups, 2);
	assert_string_equal(recipe->groups[0].name, "settings");
	assert_int_equal(recipe->groups[0].n_packages, 1);
	assert_string_equal(recipe->groups[0].packages[0].name, "tzdata");
}

static void units_are_files_and_enabled_ones_services(void **state)
{
	auto_buf text = {};

	(void)state;
	stages_of(HEAD
		  "units:\n- name: a.service\n  content: '[Service]'\n  enabled: true\n"
		  "- name: b.timer\n  dropins: [{name: x.conf, content: '[Timer]'}]\n"
		  "services: {enabled: [c], masked: [d.timer], "
		  "default_target: rescue.target}\n",
		  PACKAGE("xx"), &text);
	assert_has(&text, "\"path\":\"/etc/systemd/system/a.service\"");
	assert_has(&text, "\"path\":\"/etc/systemd/system/b.timer.d/x.conf\"");
	assert_has(&text, "org.osbuild.systemd {\"default_target\":\"rescue.target\","
			  "\"enabled_services\":[\"a.service\",\"c\"],"
			  "\"masked_services\":[\"d.timer\"]}\n");
}

static void an_ssh_server_gets_a_unit_for_its_keys(void **state)
{
	auto_buf with = {}, without = {};

	(void)state;
	stages_of(HEAD, PACKAGE("openssh-server") PACKAGE("systemd"), &with);
	assert_has(&with, "\"path\":\"/etc/systemd/system/ssh-host-keys.service\"");
	assert_has(&with, "\"enabled_services\":[\"ssh-host-keys.service\"]");
	stages_of(HEAD, PACKAGE("openssh-server"), &without);
	assert_null(strstr(buf_text(&without), "ssh-host-keys"));
}

static void settings_are_checked(void **state)
{
	(void)state;
	refuses(HEAD "timezone: ../../etc/shadow\n",
		"r.yaml:3:11: timezone: '../../etc/shadow' is not one such as "
		"Europe/Berlin");
	refuses(HEAD "locale: {languages: ['de DE']}\n",
		"r.yaml:3:22: languages: 'de DE' is not one such as de_DE.UTF-8");
	refuses(HEAD "locale: {keyboard: 'de;reboot'}\n",
		"r.yaml:3:20: keyboard: 'de;reboot' is not a layout such as de or "
		"de(nodeadkeys)");
	refuses(HEAD "debconf: [a b]\n",
		"r.yaml:3:11: debconf: 'a b' is not PACKAGE QUESTION TYPE VALUE");
	refuses(HEAD "user: [{name: Anna}]\n",
		"r.yaml:3:15: name: 'Anna' is not a user's or group's name");
	refuses(HEAD "user: [{name: anna, password: secret}]\n",
		"r.yaml:3:31: password: a hash is wanted, as 'openssl passwd -6' makes "
		"it, or '!' for none");
	refuses(HEAD "user: [{name: anna, key: nonsense}]\n",
		"r.yaml:3:26: key: 'nonsense' is not a public key in one line");
	refuses(HEAD "user: [{name: anna}, {name: anna}]\n",
		"r.yaml:3:22: 'anna' is given twice");
	refuses(HEAD "user: [{uid: 1}]\n", "r.yaml:3:8: an item without a name");
	refuses(HEAD "users: []\n",
		"r.yaml:3:1: unknown key 'users'; did you mean 'user'?");
	refuses(HEAD "services: {enabled: ['a b']}\n",
		"r.yaml:3:22: enabled: 'a b' is not a unit's name");
	refuses(HEAD "units: [{name: a.servce, content: x}]\n",
		"r.yaml:3:9: units: 'a.servce' is not a name such as job.service");
	refuses(HEAD "units: [{name: a.service}]\n",
		"r.yaml:3:9: unit 'a.service': give it a content, or drop-ins");
	refuses(HEAD "directories: [{path: relative}]\n",
		"r.yaml:3:22: path: 'relative' is not an absolute path without '.' and "
		"'..'");
	refuses(HEAD "commands: [{late: true}]\n",
		"r.yaml:3:12: command without a 'run'");
	refuses(HEAD "commands: [{run: a, late: maybe}]\n",
		"r.yaml:3:27: late: 'maybe' is neither true nor false");
}

/* --- with files beside the recipe --- */

struct world {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	(void)strcpy(world->path, "/tmp/test-settings-XXXXXX");
	if (!mkdtemp(world->path))
		return -1;
	world->fd = open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = world;
	return world->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	closep(&world->fd);
	(void)fs_remove_all(AT_FDCWD, world->path, true, NULL);
	free(world);
	return 0;
}

static void put(struct world *world, const char *name, const char *text, mode_t mode)
{
	assert_int_equal(fs_write_new(world->fd, name, text, strlen(text), mode, NULL),
			 0);
}

static int load(struct world *world, const char *name, struct recipe **ret,
		struct cop_error *err)
{
	auto_buf path = {};

	(void)buf_printf(&path, "%s/%s", world->path, name);
	return recipe_load(path.data, ret, err);
}

static void a_directory_is_taken_with_all_that_is_in_it(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct world *world = *state;
	struct cop_error err = {};

	assert_int_equal(mkdirat(world->fd, "conf", 0755), 0);
	assert_int_equal(mkdirat(world->fd, "conf/bin", 0755), 0);
	put(world, "conf/a.conf", "a", 0600);
	put(world, "conf/bin/run", "b", 0755);
	put(world, "r.yaml", HEAD "files: [{path: /etc/x, source: conf, group: adm}]\n",
	    0644);
	assert_ok(load(world, "r.yaml", &recipe, &err), &err);
	assert_int_equal(recipe->n_files, 2);
	assert_string_equal(recipe->files[0].path, "/etc/x/a.conf");
	assert_int_equal(recipe->files[0].mode, 0644);
	assert_string_equal(recipe->files[1].path, "/etc/x/bin/run");
	assert_int_equal(recipe->files[1].mode, 0755);
	assert_string_equal(recipe->files[1].group_name, "adm");
	assert_string_equal(recipe->files[1].content, "b");
}

static void a_recipe_extends_another(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct world *world = *state;
	struct cop_error err = {};

	put(world, "base.yaml",
	    HEAD "hostname: base\npackages: {a: [less], b: [nano]}\n"
		 "files: [{path: /one, content: 1}, {path: /two, content: 2}]\n"
		 "user: [{name: anna, uid: 1}, {name: bert}]\ncommands: [first]\n",
	    0644);
	put(world, "r.yaml",
	    "extends: base.yaml\nhostname: web\npackages: {b: [less, vim], c: [nginx]}\n"
	    "files: [{path: /two, content: II}]\nuser: [{name: anna, uid: 2}]\n"
	    "commands: [second]\n",
	    0644);
	assert_ok(load(world, "r.yaml", &recipe, &err), &err);
	assert_string_equal(recipe->suite, "trixie");
	assert_string_equal(recipe->hostname, "web");
	assert_int_equal(recipe->n_groups, 3);
	assert_int_equal(recipe->groups[1].n_packages, 2);
	assert_string_equal(recipe->groups[1].packages[1].name, "vim");
	assert_string_equal(recipe->groups[2].name, "c");
	assert_int_equal(recipe->n_files, 2);
	assert_string_equal(recipe->files[1].content, "II");
	assert_int_equal(json_object_size(recipe->settings->accounts), 2);
	assert_int_equal(
		json_integer_value(json_object_get(
			json_object_get(recipe->settings->accounts, "anna"), "uid")),
		2);
	assert_string_equal(recipe->commands[0], "first");
	assert_string_equal(recipe->commands[1], "second");
}

static void what_is_wrong_in_the_other_recipe_is_named_there(void **state)
{
	auto_ptr(recipe) recipe = NULL;
	struct world *world = *state;
	struct cop_error err = {};
	auto_buf wanted = {};

	put(world, "base.yaml", HEAD "hostnam: x\n", 0644);
	put(world, "r.yaml", "extends: base.yaml\n", 0644);
	put(world, "twice.yaml", "extends: r.yaml\n", 0644);
	put(world, "missing.yaml", "extends: nowhere.yaml\n", 0644);
	(void)buf_printf(&wanted,
			 "%s/base.yaml:3:1: unknown key 'hostnam'; did you mean "
			 "'hostname'?",
			 world->path);
	assert_fails(load(world, "r.yaml", &recipe, &err), -EINVAL, &err);
	assert_string_equal(err.message, wanted.data);
	err = (struct cop_error){};
	assert_fails(load(world, "twice.yaml", &recipe, &err), -EINVAL, &err);
	assert_non_null(strstr(err.message, "there is one level only"));
	err = (struct cop_error){};
	assert_fails(load(world, "missing.yaml", &recipe, &err), -EINVAL, &err);
	assert_non_null(strstr(err.message, "missing.yaml:1:10: extends: open recipe"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_become_stages_in_a_fixed_order),
		cmocka_unit_test(a_user_is_told_as_the_stage_wants_it),
		cmocka_unit_test(settings_bring_their_packages_in_a_layer_of_their_own),
		cmocka_unit_test(units_are_files_and_enabled_ones_services),
		cmocka_unit_test(an_ssh_server_gets_a_unit_for_its_keys),
		cmocka_unit_test(settings_are_checked),
		TEST(a_directory_is_taken_with_all_that_is_in_it),
		TEST(a_recipe_extends_another),
		TEST(what_is_wrong_in_the_other_recipe_is_named_there),
	};

	return cmocka_run_group_tests_name("recipe settings", tests, NULL, NULL);
}
