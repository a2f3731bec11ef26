/* SPDX-License-Identifier: Apache-2.0 */
/* Archives and packed files, against the programs that people use for them. */
#include "stagelib.h"

#include <fcntl.h>
#include <locale.h>

#include "base/process.h"
#include "modules/stages/stages.h"
#include "json/json.h"

static void assert_same_file(struct world *world, const char *a, const char *b)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "cmp %s %s", a, b);
	run_shell(world, text);
}

/* Something of everything, with times that stay. */
static void make_source(struct world *world)
{
	run_shell(
		world,
		"mkdir -p src/d/e\n"
		"printf hello >src/d/f; ln src/d/f src/hard\n"
		"ln -s ../nowhere src/d/l; mkfifo src/p\n"
		"printf odd >'src/na me'; printf utf >src/\xc3\xa9\n"
		"printf long >src/d/$(printf %0120d 7)\n"
		"truncate -s 1M src/sparse; printf x >>src/sparse\n"
		"chmod 4711 src/d/f; chmod 2750 src/d/e; chmod 1777 src/d\n"
		"if [ $(id -u) = 0 ]; then chown 7:8 src/d/e; chown -h 9:9 src/d/l; fi\n"
		"find src -exec touch -hd @1500000000 {} +");
}

static const char list[] =
	"cd %s && find . -printf '%%P %%y %%m %%U %%G %%s %%l %%n %%T@\\n'"
	" | sort && find . -type f | sort | xargs -d'\\n' cat";

static void assert_same_tree(struct world *world, const char *a, const char *b)
{
	char one[512], two[512];
	auto_buf first = {}, second = {};
	const char *argv_one[] = {"sh", "-ec", one, NULL};
	const char *argv_two[] = {"sh", "-ec", two, NULL};
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", world->path, a);
	(void)snprintf(one, sizeof(one), list, path);
	(void)snprintf(path, sizeof(path), "%s/%s", world->path, b);
	(void)snprintf(two, sizeof(two), list, path);
	assert_ok(process_check(argv_one, NULL, &first, &world->err), &world->err);
	assert_ok(process_check(argv_two, NULL, &second, &world->err), &world->err);
	assert_string_equal(buf_text(&first), buf_text(&second));
}

static void archives_become_what_tar_makes_of_them(void **state)
{
	static const char *const makers[] = {
		"tar --format=gnu -S -cf input/t.tar -C src .",
		"tar --format=posix -cf input/t.tar -C src .",
		"tar --format=posix -czf input/t.tar -C src .",
		"tar -cJf input/t.tar -C src .",
		"tar --zstd -cf input/t.tar -C src .",
		"tar -cjf input/t.tar -C src .",
		"tar -cf input/t.tar -C src d hard 'na me'",
	};
	struct world *world = *state;

	needs_root();
	make_source(world);
	world->file = "t.tar";
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		run_shell(world, "rm -rf tree/* expected; mkdir -p tree/x expected\n"
				 "touch -d @1400000000 tree/x expected");
		run_shell(world, makers[i]);
		run_shell(world, "tar --numeric-owner -xf input/t.tar -C expected");
		assert_ok(stage_with(world, stage_untar, "{'prefix': '/x'}"),
			  &world->err);
		run_shell(world, "touch -d @1400000000 tree/x expected");
		assert_same_tree(world, "tree/x", "expected");
	}
}

static void what_is_there_gives_way_as_it_does_to_tar(void **state)
{
	struct world *world = *state;

	needs_root();
	make_source(world);
	run_shell(world,
		  "tar -cf input/t.tar -C src .\n"
		  "for t in tree expected; do mkdir -p $t/d/e $t/real $t/hard\n"
		  "printf old >$t/d/e/kept; ln -s nowhere $t/d/f; ln -s /etc $t/p; done\n"
		  "tar --numeric-owner -xf input/t.tar -C expected\n"
		  "touch -d @1500000000 */d/e/kept");
	world->file = "t.tar";
	assert_ok(stage_with(world, stage_untar, "{}"), &world->err);
	run_shell(world, "touch -d @1500000000 */real");
	assert_same_tree(world, "tree", "expected");
	/* A directory that is not empty does not. */
	run_shell(world, "rm tree/sparse; mkdir -p tree/sparse/x");
	assert_true(stage_with(world, stage_untar, "{}") < 0);
	assert_non_null(strstr(world->err.message, "'sparse'"));
}

static void archives_do_not_reach_out_of_the_tree(void **state)
{
	struct world *world = *state;

	run_shell(world,
		  "mkdir -p outside a/etc b; printf bad >a/etc/victim\n"
		  "ln -s ../outside b/etc; printf safe >outside/victim\n"
		  "tar -cf input/t.tar -C b etc; tar -rf input/t.tar -C a etc/victim\n"
		  "tar -cPf input/up.tar --transform 's,^,../outside/,' -C a/etc victim\n"
		  "tar -cf input/link.tar --transform 's,victim,../outside/victim,Rhs' "
		  "-C a/etc victim");
	world->file = "t.tar";
	assert_true(stage_with(world, stage_untar, "{}") < 0);
	world->file = "up.tar";
	assert_fails(stage_with(world, stage_untar, "{}"), -EBADMSG, &world->err);
	assert_text(world, "outside/victim", "safe");
	/* The same by a symlink that was there before. */
	run_shell(world, "rm -rf tree/*; ln -s ../outside tree/etc\n"
			 "tar -cf input/t.tar -C a etc/victim");
	world->file = "t.tar";
	assert_true(stage_with(world, stage_untar, "{}") < 0);
	assert_text(world, "outside/victim", "safe");
	assert_fails(stage_with(world, stage_untar, "{'prefix': '/missing'}"), -ENOENT,
		     &world->err);
}

static void damaged_archives_are_told(void **state)
{
	struct world *world = *state;

	make_source(world);
	run_shell(world, "tar -czf input/t.tar -C src .; truncate -s -30 input/t.tar\n"
			 "printf 'no archive at all, but long enough to be looked at' "
			 ">input/n.tar");
	world->file = "t.tar";
	assert_fails(stage_with(world, stage_untar, "{}"), -EBADMSG, &world->err);
	world->file = "n.tar";
	assert_fails(stage_with(world, stage_untar, "{}"), -EBADMSG, &world->err);
	world->file = "missing.tar";
	assert_true(stage_with(world, stage_untar, "{}") < 0);
}

static void compressed_files_are_the_programs_own(void **state)
{
	struct world *world = *state;

	if (!has_program("xz") || !has_program("zstd"))
		return;
	/* Several blocks; nothing; a whole chunk. */
	run_shell(world, "seq 1 900000 >input/f; : >input/empty\n"
			 "head -c 1048576 input/f >input/chunk");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"f", "empty", "chunk"};
		char text[128];

		world->file = names[i];
		assert_ok(stage_with(world, stage_xz, "{'filename': '/f.xz'}"),
			  &world->err);
		assert_ok(stage_with(world, stage_zstd, "{'filename': 'f.zst'}"),
			  &world->err);
		(void)snprintf(text, sizeof(text),
			       "xz -T2 -0 -c input/%s >f.xz; "
			       "zstd -q --single-thread -1 -c input/%s >f.zst",
			       names[i], names[i]);
		run_shell(world, text);
		assert_same_file(world, "tree/f.xz", "f.xz");
		assert_same_file(world, "tree/f.zst", "f.zst");
	}
}

static void read_only_file_systems_are_the_same_twice(void **state)
{
	static const struct {
		const char *program;
		int (*stage)(struct kit *kit);
		const char *options;
	} makers[] = {
		{"mksquashfs", stage_squashfs, "{'filename': 'x'}"},
		{"mksquashfs", stage_squashfs,
		 "{'filename': 'x', 'source': 'input://tree/', 'exclude_paths': ['d/l.*'],"
		 " 'compression': {'method': 'xz', 'options': {'bcj': 'x86'}}}"},
		{"mkfs.erofs", stage_erofs, "{'filename': '/x'}"},
		{"mkfs.erofs", stage_erofs,
		 "{'filename': 'x', 'source': 'input://tree/', 'exclude_paths': ['d/l'],"
		 " 'compression': {'method': 'lz4hc', 'level': 9}, 'options':"
		 " ['force-inode-extended']}"},
	};
	struct world *world = *state;

	make_source(world);
	/* After the newest file. */
	run_shell(world, "cp -a src/. input");
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		if (!has_program(makers[i].program))
			continue;
		run_shell(world, "rm -f tree/x; ln -s ../outside tree/x");
		assert_ok(stage_with(world, makers[i].stage, makers[i].options),
			  &world->err);
		run_shell(world,
			  i % 2 ? "mv tree/x first" : "mv tree/x first; sleep 1.1");
		assert_ok(stage_with(world, makers[i].stage, makers[i].options),
			  &world->err);
		assert_same_file(world, "tree/x", "first");
		assert_absent(world, "outside");
	}
}

static void a_squashfs_holds_the_tree(void **state)
{
	struct world *world = *state;

	needs_root();
	if (!has_program("mksquashfs") || !has_program("unsquashfs"))
		return;
	make_source(world);
	run_shell(world, "cp -a src/. input");
	assert_ok(stage_with(world, stage_squashfs, "{'filename': 'x'}"), &world->err);
	run_shell(world, "unsquashfs -d back tree/x");
	assert_same_tree(world, "back", "src");
}

/* A blob of the archive that was unpacked to oci/, by its description. */
static json_t *read_blob(struct world *world, const json_t *description)
{
	const char *digest = json_string_value(json_object_get(description, "digest"));
	auto_buf text = {};
	json_t *json = NULL;
	char path[128];

	assert_non_null(digest);
	(void)snprintf(path, sizeof(path), "oci/blobs/sha256/%s",
		       digest + strlen("sha256:"));
	read_whole(world, path, &text);
	assert_int_equal(json_integer_value(json_object_get(description, "size")),
			 text.size);
	assert_ok(json_read(buf_text(&text), text.size, &json, &world->err), &world->err);
	return json;
}

static const char oci_options[] =
	"{'filename': 'image.oci', 'architecture': 'arm64', 'variant': 'v8', 'config':"
	" {'Cmd': ['/bin/sh'], 'Env': ['A=b'], 'ExposedPorts': ['80/tcp'], 'User': 'me',"
	" 'Labels': {'l': '1'}, 'WorkingDir': '/w'}, 'annotations': {'a': 'b'}}";

static void an_oci_archive_is_sound_and_holds_the_layers(void **state)
{
	struct world *world = *state;
	auto_json *index = NULL, *manifest = NULL, *config = NULL;
	auto_buf text = {};
	json_t *layers, *settings;
	char command[512];

	needs_root();
	make_source(world);
	run_shell(world, "cp -a src/. input");
	world->source_epoch = 1700000000;
	world->only_tree = true;
	assert_ok(stage_with(world, stage_oci_archive, oci_options), &world->err);
	run_shell(world,
		  "mkdir oci; tar -xf tree/image.oci -C oci\n"
		  "test \"$(ls -A tree)\" = image.oci\n"
		  "cd oci/blobs/sha256; for b in *; do echo $b $b; done | sed 's/ /  /'"
		  " | sha256sum -c --quiet");
	read_whole(world, "oci/index.json", &text);
	assert_ok(json_read(buf_text(&text), text.size, &index, &world->err),
		  &world->err);
	manifest =
		read_blob(world, json_array_get(json_object_get(index, "manifests"), 0));
	config = read_blob(world, json_object_get(manifest, "config"));
	assert_string_equal(json_string_value(json_object_get(config, "created")),
			    "2023-11-14T22:13:20+00:00");
	assert_string_equal(json_string_value(json_object_get(config, "variant")), "v8");
	settings = json_object_get(config, "config");
	assert_true(json_is_object(
		json_object_get(json_object_get(settings, "ExposedPorts"), "80/tcp")));
	layers = json_object_get(manifest, "layers");
	assert_int_equal(json_array_size(layers), 1);
	(void)snprintf(
		command, sizeof(command),
		"l=oci/blobs/sha256/%s; echo %s | cut -d: -f2 >id\n"
		"test \"$(zcat <$l | sha256sum | cut -d' ' -f1)\" = \"$(cat id)\"\n"
		"mkdir back; tar --numeric-owner -xzf $l -C back\n"
		"touch -d @1500000000 back src",
		json_string_value(json_object_get(json_array_get(layers, 0), "digest")) +
			strlen("sha256:"),
		json_string_value(json_array_get(
			json_object_get(json_object_get(config, "rootfs"), "diff_ids"),
			0)));
	run_shell(world, command);
	run_shell(world, "chmod --reference=src back");
	assert_same_tree(world, "back", "src");
}

static void an_oci_archive_is_the_same_twice(void **state)
{
	struct world *world = *state;

	make_source(world);
	run_shell(world, "cp -a src/. input");
	assert_ok(stage_with(world, stage_oci_archive, oci_options), &world->err);
	run_shell(world, "mv tree/image.oci first; sleep 1.1");
	assert_ok(stage_with(world, stage_oci_archive, oci_options), &world->err);
	assert_same_file(world, "tree/image.oci", "first");
}

static void every_compression_of_tar_is_one_that_tar_reads(void **state)
{
	static const char *const endings[] = {".tar",	  ".tar.gz",  ".tar.bz2",
					      ".tar.xz",  ".tar.zst", ".tar.lzma",
					      ".tar.lzo", ".tar.lz"};
	static const char *const programs[] = {"true", "gzip", "bzip2", "xz",
					       "zstd", "xz",   "lzop",	"lzip"};
	struct world *world = *state;

	needs_root();
	make_source(world);
	run_shell(world, "cp -a src/. input");
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		char options[128], command[256];

		if (!has_program(programs[i]))
			continue;
		(void)snprintf(options, sizeof(options), "{'filename': 'a%s'}",
			       endings[i]);
		assert_ok(stage_with(world, stage_tar, options), &world->err);
		(void)snprintf(command, sizeof(command),
			       "rm -rf back; mkdir back\n"
			       "tar --numeric-owner -xf tree/a%s -C back\n"
			       "touch -d @1500000000 back src",
			       endings[i]);
		run_shell(world, command);
		assert_same_tree(world, "back", "src");
	}
	assert_ok(
		stage_with(world, stage_tar, "{'filename': 'b', 'compression': 'zstd'}"),
		&world->err);
	run_shell(world, "cmp tree/b tree/a.tar.zst");
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(archives_become_what_tar_makes_of_them),
		T(what_is_there_gives_way_as_it_does_to_tar),
		T(archives_do_not_reach_out_of_the_tree),
		T(damaged_archives_are_told),
		T(compressed_files_are_the_programs_own),
		T(read_only_file_systems_are_the_same_twice),
		T(a_squashfs_holds_the_tree),
		T(an_oci_archive_is_sound_and_holds_the_layers),
		T(an_oci_archive_is_the_same_twice),
		T(every_compression_of_tar_is_one_that_tar_reads),
	};

	/* The shared libarchive asks for it; the static program has no locale. */
	(void)setlocale(LC_ALL, "C.UTF-8");
	return cmocka_run_group_tests_name("archives and packed files", tests, NULL,
					   NULL);
}
