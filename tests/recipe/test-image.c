/* SPDX-License-Identifier: Apache-2.0 */
/* The keys `image` and `kernel`: what they mean for packages, files and manifest, and how
 * mistakes in them are told. */
#include "testlib.h"

#include "recipe/image.h"
#include "recipe/model.h"
#include "json/json.h"

#define HEAD "suite: trixie\narchitecture: amd64\n"
#define SHA  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY  "0123456789ABCDEF0123456789ABCDEF01234567"

static struct recipe *parse(const char *text)
{
	struct recipe *recipe = NULL;
	struct cop_error err = {};

	assert_ok(recipe_parse("r.yaml", text, strlen(text), &recipe, &err), &err);
	return recipe;
}

static void refuses(const char *text, const char *wanted)
{
	auto_ptr(recipe) recipe = NULL;
	struct cop_error err = {};

	assert_fails(recipe_parse("r.yaml", text, strlen(text), &recipe, &err), -EINVAL,
		     &err);
	if (!strstr(err.message, wanted))
		fail_msg("'%s' is not in: %s", wanted, err.message);
}

static bool has_package(const struct recipe *recipe, const char *name)
{
	const struct recipe_group *group = &recipe->groups[0];

	for (size_t i = 0; i < group->n_packages; i++)
		if (strcmp(group->packages[i].name, name) == 0)
			return true;
	return false;
}

static const char *text_of(const struct recipe *recipe, const char *path)
{
	for (size_t i = 0; i < recipe->image->n_files; i++)
		if (strcmp(recipe->image->files[i].path, path) == 0)
			return recipe->image->files[i].content;
	fail_msg("no '%s'", path);
	return NULL;
}

static void an_image_boots_by_uefi_unless_told_otherwise(void **state)
{
	auto_ptr(recipe) recipe = parse(HEAD "packages: [less]\nimage: {format: raw}\n");
	const struct recipe_image *image = recipe->image;
	const struct image_part *root = image_find(image, "/");
	auto_buf wanted = {};

	(void)state;
	assert_int_equal(image->boot, IMAGE_BOOT_UEFI);
	assert_int_equal(image->n_parts, 2);
	assert_string_equal(image->parts[0].mount, "/boot/efi");
	assert_int_equal(image->parts[0].size, 512 * MIB);
	assert_int_equal(root->size, 0);
	assert_string_equal(recipe->groups[0].name, "boot");
	assert_true(has_package(recipe, "linux-image-amd64"));
	assert_true(has_package(recipe, "systemd-boot"));
	assert_false(has_package(recipe, "grub-pc-bin"));
	(void)buf_printf(&wanted, "root=UUID=%s ro console=tty0 console=ttyS0,115200\n",
			 root->fs_uuid);
	assert_string_equal(text_of(recipe, "/etc/kernel/cmdline"), wanted.data);
	assert_string_equal(text_of(recipe, "/etc/kernel/entry-token"), "debian\n");
	assert_non_null(strstr(text_of(recipe, "/etc/fstab"), "x-systemd.growfs"));
}

static void ids_come_from_suite_and_seed_alone(void **state)
{
	auto_ptr(recipe) a = parse(HEAD "hostname: a\nimage: {format: raw}\n");
	auto_ptr(recipe) b = parse(HEAD "packages: [less]\nimage: {format: qcow2}\n");
	auto_ptr(recipe) c = parse(HEAD "image: {seed: two}\n");

	(void)state;
	assert_string_equal(a->image->uuid, b->image->uuid);
	assert_string_equal(a->image->parts[1].fs_uuid, b->image->parts[1].fs_uuid);
	assert_string_not_equal(a->image->uuid, c->image->uuid);
	assert_string_not_equal(a->image->parts[0].uuid, c->image->parts[0].uuid);
	assert_string_not_equal(a->image->parts[0].uuid, a->image->parts[1].uuid);
}

static void the_kernel_is_chosen_and_its_words_are_added(void **state)
{
	auto_ptr(recipe) recipe =
		parse(HEAD "kernel: {name: linux-image-cloud-amd64, append: console=hvc0 "
			   "quiet}\nimage: {boot: bios}\n");

	(void)state;
	assert_true(has_package(recipe, "linux-image-cloud-amd64"));
	assert_false(has_package(recipe, "linux-image-amd64"));
	assert_true(has_package(recipe, "grub-pc-bin"));
	assert_null(strstr(text_of(recipe, "/etc/kernel/cmdline"), "ttyS0"));
	assert_non_null(strstr(text_of(recipe, "/etc/default/grub"),
			       "GRUB_CMDLINE_LINUX=\" console=hvc0 quiet\"\n"));
}

static void a_layout_is_data(void **state)
{
	auto_ptr(recipe) recipe = parse(
		HEAD "image:\n  format: raw\n  size: 4 GiB\n  layout:\n"
		     "  - {type: esp, size: 100M}\n"
		     "  - {type: home, size: 1G}\n"
		     "  - {type: 0FC63DAF-8483-4772-8E79-3D69D8477DE4, name: spare, "
		     "size: 10M}\n"
		     "  - {type: root, free: 64M}\n");
	const struct recipe_image *image = recipe->image;

	(void)state;
	assert_true(image->size == 4096 * MIB);
	assert_int_equal(image->n_parts, 4);
	assert_string_equal(image->parts[1].mount, "/home");
	assert_string_equal(image->parts[1].filesystem, "ext4");
	assert_null(image->parts[2].mount);
	assert_true(image->parts[3].free == 64 * MIB);
	assert_non_null(strstr(text_of(recipe, "/etc/fstab"), " /home ext4 "));
}

static void what_makes_no_sense_is_refused_by_place_and_name(void **state)
{
	(void)state;
	refuses(HEAD "image: {format: qcow}\n",
		"r.yaml:3:17: format: 'qcow' is none of raw, qcow2, vmdk, vhd, tar, squashfs");
	refuses(HEAD "image: {format: qcow}\n", "did you mean 'qcow2'?");
	refuses(HEAD "image: {boot: grub}\n",
		"boot: 'grub' is none of none, uefi, bios, direct");
	refuses(HEAD "image: {size: 2GB}\n",
		"r.yaml:3:15: size: '2GB' is not a size such as 512M or 2G, or auto");
	refuses(HEAD "image: {size: 1000}\n", "is not a size");
	refuses(HEAD "image: {size: 99999999999G}\n", "is not a size");
	refuses(HEAD "image: {size: 0M}\n", "is not a size");
	refuses(HEAD "image: {format: tar, size: 2G}\n", "are disks with a size");
	refuses(HEAD "image: {format: tar, boot: uefi}\n", "are disks that boot");
	refuses(HEAD "image: {layout: []}\n", "1 to 16 partitions");
	refuses(HEAD "image: {layout: [{size: 1M}]}\n", "a partition without a type");
	refuses(HEAD "image: {layout: [{type: root}]}\n",
		"UEFI needs a partition of type esp");
	refuses(HEAD "image: {boot: bios, layout: [{type: root}]}\n",
		"GRUB needs a partition of type bios");
	refuses(HEAD "image: {boot: none, layout: [{type: home}]}\n",
		"no partition is mounted at /");
	refuses(HEAD "image: {layout: [{type: esp}, {type: root}, {type: root}]}\n",
		"partition 'root' is there twice");
	refuses(HEAD "image: {layout: [{type: esp}, {type: nonsense}]}\n",
		"neither esp, bios, root");
	refuses(HEAD "image: {layout: [{type: esp, size: 10M}, {type: root}]}\n",
		"smaller than 34M");
	refuses(HEAD "image: {layout: [{type: esp, mount: /a b}, {type: root}]}\n",
		"is not an absolute path");
	refuses(HEAD "image: {boots: uefi}\n", "did you mean 'boot'?");
	refuses("suite: trixie\narchitecture: s390x\nimage: {boot: uefi}\n",
		"boot: uefi is there for amd64 and arm64");
	refuses("suite: trixie\narchitecture: arm64\nimage: {boot: bios}\n",
		"boot: bios is there for amd64 and i386");
	refuses("suite: bookworm\narchitecture: amd64\nimage: {secure-boot: yes}\n",
		"bookworm has no signed systemd-boot");
	refuses(HEAD "image: {boot: bios, secure-boot: yes}\n", "needs 'boot: uefi'");
	refuses(HEAD "kernel: {name: x1}\n", "'kernel:' needs an 'image:'");
	refuses(HEAD "kernel: {append: \"a$(b)\"}\nimage: {boot: bios}\n",
		"one line without");
	refuses(HEAD "packages: {boot: [less]}\nimage: {format: raw}\n",
		"'boot' cannot be a group's name");
}

/* --- manifests --- */

/* @groups: lines of packages behind those of `boot` */
static json_t *make_manifest_of(const struct recipe *recipe, bool host_tools,
				const char *groups)
{
	struct cop_error err = {};
	auto_ptr(lock) lock = NULL;
	json_t *manifest = NULL;
	auto_buf text = {};

	(void)buf_printf(
		&text,
		"coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest %s\n"
		"source-epoch 1600000000\ndate 20240101T100000Z\n"
		"repository trixie Debian Debian trixie main " KEY "\n"
		"package base dpkg 1.22 amd64 11 " SHA " trixie pool/dpkg.deb manual\n"
		"package boot initramfs-tools 1 all 11 " SHA
		" trixie pool/i.deb automatic\n"
		"%s"
		"package build dpkg 1.22 amd64 11 " SHA
		" trixie pool/dpkg.deb automatic\n"
		"package build mtools 4 amd64 11 " SHA " trixie pool/mtools.deb manual\n",
		recipe->request, groups);
	assert_ok(lock_parse("lock", text.data, text.size, &lock, &err), &err);
	assert_ok(recipe_manifest(recipe, lock, host_tools, &manifest, &err), &err);
	return manifest;
}

static json_t *make_manifest(const struct recipe *recipe, bool host_tools)
{
	return make_manifest_of(recipe, host_tools, "");
}

/* "build: a b, tree: c d" with the last parts of the stages' names. */
static void assert_stages(const json_t *manifest, const char *wanted)
{
	const json_t *pipeline, *stage;
	auto_buf text = {};
	size_t i, j;

	json_array_foreach (json_object_get(manifest, "pipelines"), i, pipeline) {
		const char *build = json_string_value(json_object_get(pipeline, "build"));

		(void)buf_printf(&text, "%s%s%s:", i ? "; " : "",
				 json_string_value(json_object_get(pipeline, "name")),
				 build ? "@build" : "");
		json_array_foreach (json_object_get(pipeline, "stages"), j, stage) {
			const char *type =
				json_string_value(json_object_get(stage, "type"));

			(void)buf_printf(&text, " %s", strchr(type + 4, '.') + 1);
		}
	}
	assert_string_equal(text.data, wanted);
}

static void the_stages_go_from_slow_to_cheap(void **state)
{
	auto_ptr(recipe) recipe =
		parse(HEAD "hostname: a\ncommands: [\"true\"]\nimage: {format: qcow2}\n");
	auto_json *manifest = make_manifest(recipe, false);

	(void)state;
	assert_stages(manifest,
		      "build: deb.unpack deb.configure deb.unpack deb.configure; "
		      "tree: deb.unpack deb.configure deb.unpack deb.configure mkdir "
		      "files apt.sources run initramfs boot.systemd hosts hostname; "
		      "disk@build: disk; image@build: qemu");
}

#define PACKAGE(layer, name) \
	"package " layer " " name " 1 all 11 " SHA " trixie pool/" name ".deb manual\n"

#define ALL_LAYERS(...)                                                        \
	"tree: deb.unpack deb.configure deb.unpack deb.configure " __VA_ARGS__ \
	"; image: disk kernel"

static void groups_that_do_not_reach_the_initramfs_stand_behind_it(void **state)
{
	static const struct {
		const char *more, *groups, *stages;
	} cases[] = {
		{"", PACKAGE("system", "less") PACKAGE("late", "nano"),
		 ALL_LAYERS("initramfs deb.unpack deb.configure deb.unpack "
			    "deb.configure files apt.sources initramfs hosts")},
		/* One that does, and one behind it. */
		{"", PACKAGE("system", "cryptsetup-initramfs") PACKAGE("late", "nano"),
		 ALL_LAYERS("deb.unpack deb.configure initramfs deb.unpack "
			    "deb.configure files apt.sources initramfs hosts")},
		/* One that does, at the end. */
		{"", PACKAGE("system", "less") PACKAGE("late", "lvm2"),
		 ALL_LAYERS("deb.unpack deb.configure deb.unpack deb.configure files "
			    "apt.sources initramfs hosts")},
		{"commands: [\"true\"]\n", PACKAGE("system", "less"),
		 ALL_LAYERS("deb.unpack deb.configure files apt.sources run initramfs "
			    "hosts")},
		{"files: [{path: /etc/modprobe.d/own.conf, data: x}]\n",
		 PACKAGE("system", "less"),
		 ALL_LAYERS("deb.unpack deb.configure files apt.sources files initramfs "
			    "hosts")},
		{"files: [{path: /etc/motd, data: x}]\n", PACKAGE("system", "less"),
		 ALL_LAYERS("initramfs deb.unpack deb.configure files apt.sources files "
			    "initramfs hosts")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf text = {};
		auto_ptr(recipe) recipe = NULL;
		auto_json *manifest = NULL;

		(void)buf_printf(&text, HEAD "image: {boot: direct}\n%s", cases[i].more);
		recipe = parse(text.data);
		manifest = make_manifest_of(recipe, true, cases[i].groups);
		assert_stages(manifest, cases[i].stages);
	}
}

/* The number of the first stage of the tree that differs. */
static size_t first_difference(const json_t *a, const json_t *b)
{
	const json_t *stages_a = json_object_get(
		json_array_get(json_object_get(a, "pipelines"), 0), "stages");
	const json_t *stages_b = json_object_get(
		json_array_get(json_object_get(b, "pipelines"), 0), "stages");
	size_t n = 0;

	while (n < json_array_size(stages_a) &&
	       json_equal(json_array_get(stages_a, n), json_array_get(stages_b, n)))
		n++;
	return n;
}

static void images_of_two_seeds_share_layers_and_initramfs(void **state)
{
	auto_ptr(recipe) a = parse(HEAD "hostname: a\nimage: {boot: direct, seed: a}\n");
	auto_ptr(recipe) b = parse(HEAD "hostname: b\nimage: {boot: direct, seed: b}\n");
	auto_json *manifest_a = make_manifest_of(a, true, PACKAGE("system", "less"));
	auto_json *manifest_b = make_manifest_of(b, true, PACKAGE("system", "less"));

	(void)state;
	assert_stages(manifest_a,
		      ALL_LAYERS("initramfs deb.unpack deb.configure files apt.sources "
				 "initramfs hosts hostname"));
	/* 7: the file with the ids of devices. */
	assert_int_equal(first_difference(manifest_a, manifest_b), 7);
}

static void the_hosts_tools_make_the_build_pipeline_superfluous(void **state)
{
	auto_ptr(recipe) recipe = parse(HEAD "image: {boot: direct}\n");
	auto_json *manifest = make_manifest(recipe, true);

	(void)state;
	assert_stages(manifest,
		      "tree: deb.unpack deb.configure deb.unpack deb.configure files "
		      "apt.sources initramfs hosts; image: disk kernel");
}

/* The stage that makes the result. */
static const json_t *last_stage(const json_t *manifest)
{
	const json_t *pipelines = json_object_get(manifest, "pipelines");
	const json_t *last = json_array_get(pipelines, json_array_size(pipelines) - 1);

	return json_array_get(json_object_get(last, "stages"), 0);
}

static void a_container_image_names_the_architecture_as_containers_do(void **state)
{
	static const char *const words[][3] = {
		{"amd64", "amd64", NULL},     {"arm64", "arm64", NULL},
		{"armhf", "arm", "v7"},	      {"i386", "386", NULL},
		{"ppc64el", "ppc64le", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		auto_ptr(recipe) recipe = parse(HEAD "image: {format: oci}\n");
		auto_json *manifest = NULL;
		const json_t *stage, *options, *variant;

		recipe->architecture = words[i][0];
		manifest = make_manifest(recipe, false);
		stage = last_stage(manifest);
		options = json_object_get(stage, "options");
		variant = json_object_get(options, "variant");
		assert_string_equal(json_string_value(json_object_get(stage, "type")),
				    "org.osbuild.oci-archive");
		assert_string_equal(
			json_string_value(json_object_get(options, "architecture")),
			words[i][1]);
		assert_true(words[i][2]
				    ? strcmp(json_string_value(variant), words[i][2]) == 0
				    : !variant);
	}
}

static void tools_are_locked_behind_the_tree(void **state)
{
	static const char text[] =
		"coppice-lock 1\nsuite trixie\narchitecture amd64\nrequest " SHA "\n"
		"source-epoch 1600000000\ndate 20240101T100000Z\n"
		"repository trixie Debian Debian trixie main " KEY "\n"
		"package base dpkg 1 amd64 11 " SHA " trixie pool/dpkg.deb manual\n"
		"package build mtools 4 amd64 11 " SHA " trixie pool/mtools.deb manual\n"
		"package late less 4 amd64 11 " SHA " trixie pool/less.deb manual\n";
	auto_ptr(lock) lock = NULL;
	struct cop_error err = {};

	(void)state;
	assert_fails(lock_parse("l", text, sizeof(text) - 1, &lock, &err), -EINVAL, &err);
	assert_string_equal(err.message,
			    "l:10: a layer behind that of the tools: 'late'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_boots_by_uefi_unless_told_otherwise),
		cmocka_unit_test(ids_come_from_suite_and_seed_alone),
		cmocka_unit_test(the_kernel_is_chosen_and_its_words_are_added),
		cmocka_unit_test(a_layout_is_data),
		cmocka_unit_test(what_makes_no_sense_is_refused_by_place_and_name),
		cmocka_unit_test(the_stages_go_from_slow_to_cheap),
		cmocka_unit_test(groups_that_do_not_reach_the_initramfs_stand_behind_it),
		cmocka_unit_test(images_of_two_seeds_share_layers_and_initramfs),
		cmocka_unit_test(the_hosts_tools_make_the_build_pipeline_superfluous),
		cmocka_unit_test(
			a_container_image_names_the_architecture_as_containers_do),
		cmocka_unit_test(tools_are_locked_behind_the_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
