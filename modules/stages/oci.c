/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/oci.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "modkit/options.h"
#include "modkit/root.h"
#include "modkit/tool.h"
#include "modules/stages/compress.h"
#include "modules/stages/hash.h"
#include "modules/stages/tarball.h"
#include "modules/stages/walk.h"
#include "json/json.h"

#define MEDIA_TYPE   "application/vnd.oci.image."
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PART	     "part"

/* struct packing - what is made on the way
 * @blobs_fd: blobs/sha256 in a directory of ours in the tree
 * @created:  the time, as RFC 3339 has it */
struct packing {
	struct kit *kit;
	int work_fd, blobs_fd;
	char created[40];
	json_t *diff_ids, *history, *layers;
};

/* Both at once: the hash of the archive, and the archive compressed. */
struct layer_output {
	struct hash *hash;
	struct compressor *compressor;
};

static int write_layer(void *data, const void *bytes, size_t size, struct cop_error *err)
{
	struct layer_output *output = data;

	hash_add(output->hash, bytes, size);
	return compressor_write(output->compressor, bytes, size, err);
}

static bool is_layer_attribute(const char *name)
{
	return text_starts_with(name, "user.") ||
	       strcmp(name, "security.capability") == 0;
}

/* The part that was written becomes the blob of its name; a new reference. */
static json_t *keep_blob(struct packing *packing, int fd, const char *media_type)
{
	struct cop_error *err = packing->kit->err;
	char digest[DIGEST_HEX];
	uint64_t size;
	json_t *json;

	if (hash_file(fd, digest, &size, err) < 0)
		return NULL;
	if (renameat(packing->blobs_fd, PART, packing->blobs_fd, digest) < 0) {
		(void)err_errno(err, "rename a blob");
		return NULL;
	}
	kit_log("blob %s (%llu bytes, %s)", digest, (unsigned long long)size, media_type);
	json = json_pack("{s:s+, s:I, s:s+}", "digest", "sha256:", digest, "size",
			 (json_int_t)size, "mediaType", MEDIA_TYPE, media_type);
	if (!json)
		(void)err_oom(err);
	return json;
}

static int open_part(struct packing *packing)
{
	int fd = openat(packing->blobs_fd, PART,
			O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	return fd < 0 ? err_errno(packing->kit->err, "create a blob") : fd;
}

static int pack_tree(struct packing *packing, int from, int fd, char digest[DIGEST_HEX])
{
	struct cop_error *err = packing->kit->err;
	auto_ptr(compressor) compressor = NULL;
	auto_ptr(hash) hash = hash_new();
	struct layer_output output = {.hash = hash};
	const struct tarball tarball = {
		.format = TAR_POSIX,
		.acls = true,
		.xattrs = true,
		.wants = is_layer_attribute,
		.write = write_layer,
		.data = &output,
	};
	int r = hash ? compressor_new(fd, "gzip", &compressor, err) : err_oom(err);

	output.compressor = compressor;
	if (r == 0)
		r = tarball_write(from, &tarball, err);
	if (r == 0)
		r = compressor_finish(compressor, err);
	if (r == 0)
		hash_finish(hash, digest);
	return r;
}

static int add_layer(struct packing *packing, const char *input)
{
	struct cop_error *err = packing->kit->err;
	const char *path = kit_input_path(packing->kit, input);
	auto_close int from = -EBADF, fd = -EBADF;
	char digest[DIGEST_HEX];
	json_t *layer;
	int r;

	if (!path)
		return err->code;
	from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return err_errno(err, "open the input '%s'", input);
	fd = open_part(packing);
	if (fd < 0)
		return fd;
	r = pack_tree(packing, from, fd, digest);
	if (r < 0)
		return err_prefix(err, r, "layer '%s'", input);
	layer = keep_blob(packing, fd, "layer.v1.tar+gzip");
	if (!layer)
		return err->code;
	if (json_array_append_new(packing->layers, layer) < 0 ||
	    json_array_append_new(packing->diff_ids, json_pack("s+", "sha256:", digest)) <
		    0 ||
	    json_array_append_new(
		    packing->history,
		    json_pack("{s:s, s:s++}", "created", packing->created, "created_by",
			      "/bin/sh -c #(nop) osbuild input '", input, "'")) < 0)
		return err_oom(err);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int add_layers(struct packing *packing)
{
	json_t *inputs = packing->kit->inputs, *input;
	size_t n = 0;
	auto_free const char **names =
		calloc(json_object_size(inputs) + 1, sizeof(*names));
	const char *name;
	int r = 0;

	if (!names)
		return err_oom(packing->kit->err);
	json_object_foreach (inputs, name, input)
		names[n++] = name;
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_layer(packing, names[i]);
	return r;
}

/* A new reference to the description of the blob, or NULL. */
static json_t *add_json(struct packing *packing, const json_t *json,
			const char *media_type)
{
	struct cop_error *err = packing->kit->err;
	auto_close int fd = open_part(packing);
	auto_buf text = {};
	int r;

	if (fd < 0)
		return NULL;
	r = json_write(json, 0, &text, err);
	if (r == 0)
		r = fs_write_all(fd, buf_text(&text), text.size);
	if (r < 0) {
		(void)err_code(err, r, "write a blob");
		return NULL;
	}
	return keep_blob(packing, fd, media_type);
}

/* What a set of the format is: an object with empty objects. */
static json_t *set_of(const json_t *names)
{
	json_t *set = json_object();

	for (size_t i = 0; set && i < json_array_size(names); i++)
		(void)json_object_set_new(
			set, json_string_value(json_array_get(names, i)), json_object());
	return set;
}

/* The parameters of a run; a new reference. */
static json_t *make_config(const json_t *options)
{
	static const char *const plain[] = {"Entrypoint", "User", "Labels", "StopSignal",
					    "WorkingDir"};
	static const char *const sets[] = {"ExposedPorts", "Volumes"};
	json_t *env = json_object_get(options, "Env"),
	       *command = json_object_get(options, "Cmd"), *config;

	config = json_pack("{s:o, s:o}", "Env",
			   env ? json_incref(env) : json_pack("[s]", DEFAULT_PATH), "Cmd",
			   command ? json_incref(command) : json_pack("[s]", "sh"));
	for (size_t i = 0; config && i < ARRAY_SIZE(plain); i++) {
		json_t *value = json_object_get(options, plain[i]);

		if (json_array_size(value) > 0 || json_object_size(value) > 0 ||
		    json_string_length(value) > 0)
			(void)json_object_set(config, plain[i], value);
	}
	for (size_t i = 0; config && i < ARRAY_SIZE(sets); i++) {
		const json_t *names = json_object_get(options, sets[i]);

		if (json_array_size(names) > 0)
			(void)json_object_set_new(config, sets[i], set_of(names));
	}
	return config;
}

/* Takes the reference. */
static int write_file(struct packing *packing, const char *name, json_t *json)
{
	struct cop_error *err = packing->kit->err;
	auto_buf text = {};
	int r = json ? json_write(json, 0, &text, err) : err_oom(err);

	json_decref(json);
	return r == 0 ? fs_write_new(packing->work_fd, name, buf_text(&text), text.size,
				     0644, err)
		      : r;
}

static int write_index(struct packing *packing, const char *architecture,
		       const char *variant, const json_t *run, json_t *annotations)
{
	struct cop_error *err = packing->kit->err;
	auto_json *config = NULL, *manifest = NULL;
	json_t *description;
	int r;

	config = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:O}, s:O}", "created",
			   packing->created, "architecture", architecture, "os", "linux",
			   "config", make_config(run), "rootfs", "type", "layers",
			   "diff_ids", packing->diff_ids, "history", packing->history);
	if (!config)
		return err_oom(err);
	if (*variant)
		(void)json_object_set_new(config, "variant", json_string(variant));
	description = add_json(packing, config, "config.v1+json");
	if (!description)
		return err->code;
	manifest = json_pack("{s:i, s:o, s:O}", "schemaVersion", 2, "config", description,
			     "layers", packing->layers);
	if (!manifest)
		return err_oom(err);
	if (json_object_size(annotations) > 0)
		(void)json_object_set(manifest, "annotations", annotations);
	description = add_json(packing, manifest, "manifest.v1+json");
	if (!description)
		return err->code;
	r = write_file(
		packing, "index.json",
		json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests", description));
	return r == 0 ? write_file(packing, "oci-layout",
				   json_pack("{s:s}", "imageLayoutVersion", "1.0.0"))
		      : r;
}

static int set_time(void *data, int parent_fd, const char *name, const struct stat *st,
		    struct cop_error *err)
{
	const struct timespec *time = data;
	const struct timespec times[2] = {*time, *time};

	(void)st;
	if (utimensat(parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, "set time");
	return 0;
}

static int write_plain(void *data, const void *bytes, size_t size, struct cop_error *err)
{
	const int *fd = data;
	int r = fs_write_all(*fd, bytes, size);

	return r < 0 ? err_code(err, r, "write") : 0;
}

static int pack_all(struct packing *packing, const char *filename)
{
	struct kit *kit = packing->kit;
	struct timespec time = {.tv_sec = tool_epoch(kit)};
	auto_close int fd = root_open_file(kit->tree_fd, filename, 0644, kit->err);
	const struct tarball tarball = {
		.format = TAR_POSIX, .write = write_plain, .data = &fd};
	int r;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, 0) < 0)
		return err_errno(kit->err, "empty '%s'", filename);
	r = walk_below(packing->work_fd,
		       &(struct walk_ops){.visit = set_time, .data = &time}, kit->err);
	return r == 0 ? tarball_write(packing->work_fd, &tarball, kit->err) : r;
}

static int prepare(struct packing *packing, const char *work)
{
	struct kit *kit = packing->kit;
	time_t seconds = (time_t)tool_epoch(kit);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    strftime(packing->created, sizeof(packing->created),
		     "%Y-%m-%dT%H:%M:%S+00:00", &tm) == 0)
		return err_set(kit->err, -EINVAL, "the time %lld is no date",
			       (long long)seconds);
	packing->diff_ids = json_array();
	packing->history = json_array();
	packing->layers = json_array();
	if (!packing->diff_ids || !packing->history || !packing->layers)
		return err_oom(kit->err);
	if (mkdirat(kit->tree_fd, work, 0755) < 0)
		return err_errno(kit->err, "make a work directory");
	packing->work_fd = openat(kit->tree_fd, work,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (packing->work_fd < 0)
		return err_errno(kit->err, "open the work directory");
	if (mkdirat(packing->work_fd, "blobs", 0755) < 0 ||
	    mkdirat(packing->work_fd, "blobs/sha256", 0755) < 0)
		return err_errno(kit->err, "make the directory of blobs");
	packing->blobs_fd = openat(packing->work_fd, "blobs/sha256",
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return packing->blobs_fd < 0 ? err_errno(kit->err, "open the directory of blobs")
				     : 0;
}

static void packing_done(struct packing *packing)
{
	closep(&packing->work_fd);
	closep(&packing->blobs_fd);
	json_decref(packing->diff_ids);
	json_decref(packing->history);
	json_decref(packing->layers);
}

int oci_archive(struct kit *kit)
{
	const char *architecture = NULL, *filename = NULL, *variant = "";
	json_t *config = NULL, *annotations = NULL;
	const struct option options[] = {
		NEEDED_TEXT("architecture", architecture),
		NEEDED_TEXT("filename", filename),
		OPTION_TEXT("variant", variant),
		OPTION_OBJECT("config", config),
		OPTION_OBJECT("annotations", annotations),
	};
	cleanup_with(packing_done) struct packing packing = {
		.kit = kit, .work_fd = -EBADF, .blobs_fd = -EBADF};
	char work[FS_TEMPORARY_NAME];
	int r = options_only(kit->options, "options", options, ARRAY_SIZE(options),
			     kit->err);

	if (r < 0)
		return r;
	r = prepare(&packing, fs_temporary_name(work));
	if (r == 0)
		r = add_layers(&packing);
	if (r == 0)
		r = write_index(&packing, architecture, variant, config, annotations);
	if (r == 0)
		r = pack_all(&packing, filename);
	if (r < 0)
		return r;
	return fs_remove_all(kit->tree_fd, work, true, kit->err);
}
