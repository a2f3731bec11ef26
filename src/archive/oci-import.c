/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OCI image layout: index.json leads to a manifest, that to layers, each a blob that
 * is named by the SHA-256 of its bytes.  Every blob is compared with its name before it
 * is used.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "archive/import.h"
#include "base/fs.h"
#include "base/mutant.h"
#include "base/text.h"
#include "digest/sha256.h"
#include "json/json.h"

#define LAYOUT_FILE "oci-layout"
#define INDEX_FILE  "index.json"
/* Of one JSON document of an image. */
#define DOCUMENT_MAX (16 * MIB)
#define LAYERS_MAX   1024
#define INDEX_DEPTH  4

bool oci_is_image(struct import *import)
{
	const struct layer_inode *layout = layers_find(import->layers, LAYOUT_FILE);
	const struct layer_inode *index = layers_find(import->layers, INDEX_FILE);
	const struct layer_inode *blobs = layers_find(import->layers, "blobs");

	return layout && index && blobs && S_ISREG(layout->node.mode) &&
	       S_ISREG(index->node.mode) && S_ISDIR(blobs->node.mode);
}

static int open_file(const struct import *image, const char *path, struct cop_error *err)
{
	struct layer_inode *inode = layers_find(image->layers, path);

	if (!inode || !S_ISREG(inode->node.mode))
		return err_set(err, -EBADMSG, "the image lacks '%s'", path);
	return incoming_open(&image->incoming, inode, err);
}

static int read_document(int fd, const char *path, json_t **ret_json,
			 struct cop_error *err)
{
	auto_buf text = {};
	int r = fs_read_all(fd, DOCUMENT_MAX, &text, err);

	if (r == 0)
		r = json_read(buf_text(&text), text.size, ret_json, err);
	if (r == 0 && !json_is_object(*ret_json)) {
		json_decref(TAKE_PTR(*ret_json));
		r = err_set(err, -EBADMSG, "not a JSON object");
	}
	return r < 0 ? err_prefix(err, r, "'%s'", path) : 0;
}

/* The blob that a descriptor speaks of, proven to be the one. */
static int open_blob(const struct import *image, const json_t *descriptor,
		     struct cop_error *err)
{
	char path[32 + SHA256_HEX], hex[SHA256_HEX + 1];
	auto_close int fd = -EBADF;
	const char *digest = NULL;
	int r = json_get_string(descriptor, "digest", "a descriptor of the image",
				&digest, err);

	if (r < 0)
		return r;
	if (!text_starts_with(digest, "sha256:") || strlen(digest) != 7 + SHA256_HEX ||
	    !text_is_hex(digest + 7))
		return err_set(err, -EBADMSG, "'%.80s' is not a sha256 digest", digest);
	(void)snprintf(path, sizeof(path), "blobs/sha256/%s", digest + 7);
	fd = open_file(image, path, err);
	if (fd < 0)
		return fd;
	r = sha256_fd(fd, hex, err);
	if (r < 0)
		return r;
	if (strcmp(hex, digest + 7) != 0 && !mutant("layer-digest"))
		return err_set(err, -EBADMSG, "'%s' is damaged: its sha256 is %s", path,
			       hex);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "seek in '%s'", path);
	return TAKE_FD(fd);
}

/* As the registry's world calls this machine. */
static const char *our_architecture(struct utsname *name)
{
	if (uname(name) < 0)
		return "";
	if (strcmp(name->machine, "x86_64") == 0)
		return "amd64";
	return strcmp(name->machine, "aarch64") == 0 ? "arm64" : name->machine;
}

static bool is_for_us(const json_t *descriptor)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));
	const char *arch = json_string_value(json_object_get(platform, "architecture"));
	struct utsname name;

	return os && arch && strcmp(os, "linux") == 0 &&
	       strcmp(arch, our_architecture(&name)) == 0;
}

/* Attestations and the like stand in an index beside images. */
static bool is_image(const json_t *descriptor)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	const char *os = json_string_value(json_object_get(platform, "os"));

	return json_is_object(descriptor) && !(os && strcmp(os, "unknown") == 0);
}

static int choose(const json_t *index, const json_t **ret_descriptor,
		  struct cop_error *err)
{
	json_t *manifests = NULL;
	const json_t *only = NULL, *ours = NULL;
	size_t n = 0, n_ours = 0;
	int r = json_get_array(index, "manifests", "the index of the image", &manifests,
			       err);

	for (size_t i = 0; r == 0 && i < json_array_size(manifests); i++) {
		const json_t *descriptor = json_array_get(manifests, i);

		if (!is_image(descriptor))
			continue;
		only = descriptor;
		n++;
		if (is_for_us(descriptor)) {
			ours = descriptor;
			n_ours++;
		}
	}
	if (r < 0)
		return r;
	if (n != 1 && n_ours != 1)
		return err_set(err, -EBADMSG,
			       "%zu images in the archive, %zu of them for this machine; "
			       "one can be imported",
			       n, n_ours);
	*ret_descriptor = n == 1 ? only : ours;
	return 0;
}

/* From the index, perhaps through indices below it, to the manifest. */
static int find_manifest(const struct import *image, json_t **ret_manifest,
			 struct cop_error *err)
{
	auto_json *document = NULL;
	int fd = open_file(image, INDEX_FILE, err), r;

	for (int depth = 0; fd >= 0; depth++) {
		auto_close int opened = fd;
		const json_t *descriptor = NULL;
		json_t *next = NULL;

		r = read_document(opened, document ? "a blob of the image" : INDEX_FILE,
				  &next, err);
		if (r < 0)
			return r;
		json_decref(document);
		document = next;
		if (!json_object_get(document, "manifests")) {
			*ret_manifest = TAKE_PTR(document);
			return 0;
		}
		if (depth == INDEX_DEPTH)
			return err_set(err, -EBADMSG, "its indices are nested too deep");
		r = choose(document, &descriptor, err);
		if (r < 0)
			return r;
		fd = open_blob(image, descriptor, err);
	}
	return fd;
}

int oci_apply(struct import *image, struct import *import, struct cop_error *err)
{
	auto_json *manifest = NULL;
	json_t *list = NULL;
	int r = find_manifest(image, &manifest, err);

	if (r == 0)
		r = json_get_array(manifest, "layers", "the manifest of the image", &list,
				   err);
	if (r == 0 && json_array_size(list) > LAYERS_MAX)
		r = err_set(err, -E2BIG, "more than %d layers", LAYERS_MAX);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		auto_close int fd = open_blob(image, json_array_get(list, i), err);

		r = fd < 0 ? fd : import_stream(import, fd, true, err);
		if (r < 0)
			return err_prefix(err, r, "layer %zu of %zu", i + 1,
					  json_array_size(list));
	}
	return r;
}
