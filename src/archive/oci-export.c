/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree as an OCI image: one layer, not compressed, so that its bytes follow from the
 * tree alone.  Nothing in it tells when it was made.
 */
#include <elf.h>
#include <endian.h>
#include <stdio.h>

#include "archive/archive.h"
#include "archive/tar-export.h"
#include "base/fs.h"
#include "store/object.h"
#include "tree/resolve.h"
#include "json/json.h"

#define MEDIA_TYPE "application/vnd.oci.image."

struct blob {
	char digest[SHA256_HEX + 8]; /* "sha256:..." */
	struct buf text;	     /* empty for the layer */
	uint64_t size;
};

struct image {
	struct blob layer, config, manifest;
	struct buf index;
};

static void image_done(struct image *image)
{
	buf_done(&image->config.text);
	buf_done(&image->manifest.text);
	buf_done(&image->index);
}

/* What its shell runs on; of a tree without one nobody can tell. */
static const char *architecture_of(struct cop_store *store, const struct tree *tree)
{
	static const struct {
		unsigned int machine;
		const char *name;
	} known[] = {
		{EM_X86_64, "amd64"},  {EM_AARCH64, "arm64"}, {EM_386, "386"},
		{EM_ARM, "arm"},       {EM_RISCV, "riscv64"}, {EM_S390, "s390x"},
		{EM_PPC64, "ppc64le"},
	};
	const struct tree_node *node = NULL;
	auto_close int fd = -EBADF;
	Elf64_Ehdr header = {};
	unsigned int machine;

	if (tree_resolve(tree, "/bin/sh", true, &node, NULL) == 0) {
		node = tree_inode(node);
		if (S_ISREG(node->mode) && node->digest)
			fd = pool_open_file(store, node->digest, node->size, NULL);
	}
	if (fd < 0 || fs_pread_full(fd, &header, sizeof(header), 0) < 20 ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return "unknown";
	machine = header.e_ident[EI_DATA] == ELFDATA2MSB ? be16toh(header.e_machine)
							 : le16toh(header.e_machine);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].machine == machine)
			return known[i].name;
	return "unknown";
}

static int set_digest(struct blob *blob, struct cop_error *err)
{
	(void)strcpy(blob->digest, "sha256:");
	blob->size = blob->text.size;
	return sha256_bytes(blob->text.data, blob->text.size, blob->digest + 7, err);
}

static int set_text(struct buf *text, const json_t *json, struct cop_error *err)
{
	return json ? json_canonical(json, text, err) : err_oom(err);
}

static json_t *descriptor(const char *type, const struct blob *blob)
{
	return json_pack("{s:s+, s:s, s:I}", "mediaType", MEDIA_TYPE, type, "digest",
			 blob->digest, "size", (json_int_t)blob->size);
}

static int describe(struct image *image, const char *architecture, const char *name,
		    struct cop_error *err)
{
	auto_json *config = json_pack("{s:s, s:s, s:{}, s:{s:s, s:[s]}}", "architecture",
				      architecture, "os", "linux", "config", "rootfs",
				      "type", "layers", "diff_ids", image->layer.digest);
	auto_json *manifest = NULL, *index = NULL;
	json_t *entry;
	int r = set_text(&image->config.text, config, err);

	if (r == 0)
		r = set_digest(&image->config, err);
	if (r < 0)
		return r;
	manifest = json_pack("{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType",
			     MEDIA_TYPE "manifest.v1+json", "config",
			     descriptor("config.v1+json", &image->config), "layers",
			     descriptor("layer.v1.tar", &image->layer));
	r = set_text(&image->manifest.text, manifest, err);
	if (r == 0)
		r = set_digest(&image->manifest, err);
	if (r < 0)
		return r;
	entry = descriptor("manifest.v1+json", &image->manifest);
	if (name)
		(void)json_object_set_new(
			entry, "annotations",
			json_pack("{s:s}", "org.opencontainers.image.ref.name", name));
	index = json_pack("{s:i, s:s, s:[o]}", "schemaVersion", 2, "mediaType",
			  MEDIA_TYPE "index.v1+json", "manifests", entry);
	return set_text(&image->index, index, err);
}

static const char *blob_path(const struct blob *blob, char path[128])
{
	(void)snprintf(path, 128, "blobs/sha256/%s", blob->digest + 7);
	return path;
}

static int write_blob(struct output *output, const struct blob *blob,
		      struct cop_error *err)
{
	char path[128];

	return tar_write_file(output, blob_path(blob, path), blob->text.data, blob->size,
			      err);
}

static int write_image(struct cop_store *store, const struct tree *tree,
		       const struct image *image, struct output *output,
		       const struct cop_progress *progress, struct cop_error *err)
{
	static const char layout[] = "{\"imageLayoutVersion\": \"1.0.0\"}";
	int r = tar_write_file(output, "oci-layout", layout, strlen(layout), err);

	if (r == 0)
		r = tar_write_file(output, "index.json", image->index.data,
				   image->index.size, err);
	if (r == 0)
		r = tar_write_file(output, "blobs/", NULL, 0, err);
	if (r == 0)
		r = tar_write_file(output, "blobs/sha256/", NULL, 0, err);
	if (r == 0)
		r = write_blob(output, &image->manifest, err);
	if (r == 0)
		r = write_blob(output, &image->config, err);
	if (r == 0)
		r = write_blob(output, &image->layer, err);
	/* Archives are whole blocks: no padding. */
	if (r == 0)
		r = tar_write_tree(store, tree, false, output, progress, err);
	return r == 0 ? tar_write_end(output, err) : r;
}

static int measure_layer(struct cop_store *store, const struct tree *tree,
			 struct blob *layer, struct cop_error *err)
{
	cleanup_with(output_done) struct output output = {};
	int r = output_init(&output, -1, err);

	if (r == 0)
		r = tar_write_tree(store, tree, false, &output, NULL, err);
	if (r < 0)
		return r;
	(void)strcpy(layer->digest, "sha256:");
	layer->size = output.n_bytes;
	sha256_end(output.sha, layer->digest + 7);
	return 0;
}

int archive_export_oci(struct cop_store *store, const struct tree *tree, const char *name,
		       int fd, const struct cop_progress *progress, struct cop_error *err)
{
	cleanup_with(output_done) struct output output = {};
	cleanup_with(image_done) struct image image = {};
	int r = measure_layer(store, tree, &image.layer, err);

	if (r == 0)
		r = describe(&image, architecture_of(store, tree), name, err);
	if (r == 0)
		r = output_init(&output, fd, err);
	if (r == 0)
		r = write_image(store, tree, &image, &output, progress, err);
	return r == 0 ? output_flush(&output, err) : r;
}
