/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest from a recipe and its lock, and from nothing else.
 *
 * Stages go from what is slow and rarely changed to what is cheap and often changed, so
 * that a change keeps as many checkpoints as possible.  The two stages of the base layer
 * depend on the base packages alone: their ids are the same for every recipe that has
 * them.
 */
#include <string.h>

#include "base/text.h"
#include "recipe/image.h"
#include "recipe/initramfs.h"
#include "recipe/repositories.h"
#include "recipe/settings.h"
#include "recipe/stages.h"

#define FILES_INPUT "org.osbuild.files"

/* New references are given away; NULL anywhere means that memory is out. */
static json_t *text_list(const char **texts)
{
	json_t *list = json_array();

	for (; list && *texts; texts++)
		if (json_array_append_new(list, json_string(*texts)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* Files of the store of sources as an input; @references is taken over. */
static json_t *files_input(json_t *references)
{
	return json_pack("{s:s, s:s, s:o}", "type", FILES_INPUT, "origin",
			 "org.osbuild.source", "references", references);
}

int stages_add(json_t *stages, const char *type, json_t *inputs, json_t *options,
	       struct cop_error *err)
{
	json_t *stage;

	if (inputs)
		stage = json_pack("{s:s, s:o, s:o}", "type", type, "inputs", inputs,
				  "options", options);
	else
		stage = json_pack("{s:s, s:o}", "type", type, "options", options);
	return json_array_append_new(stages, stage) < 0 ? err_oom(err) : 0;
}

static int checksum_of(const char *sha256, struct buf *checksum)
{
	buf_truncate(checksum, 0);
	return buf_printf(checksum, "sha256:%.64s", sha256);
}

/* --- packages --- */

static int add_reference(json_t *references, json_t *packages,
			 const struct lock_package *package, struct buf *checksum)
{
	if (checksum_of(package->sha256, checksum) < 0 ||
	    json_object_set_new(references, checksum->data, json_object()) < 0)
		return -ENOMEM;
	return json_array_append_new(
		packages, json_pack("{s:s, s:s, s:s, s:s}", "name", package->name,
				    "version", package->version, "architecture",
				    package->architecture, "checksum", checksum->data));
}

static int add_names(json_t *names, json_t *automatic, const struct lock_package *package,
		     const char *architecture)
{
	auto_buf mark = {};

	if (json_array_append_new(names, json_string(package->name)) < 0)
		return -ENOMEM;
	if (package->manual)
		return 0;
	/* apt keeps the marks of architecture-independent packages under its own one. */
	if (buf_printf(&mark, "%s:%s", package->name, architecture) < 0)
		return -ENOMEM;
	return json_array_append_new(automatic, json_string(mark.data));
}

/* What users and groups of this layer's packages are to have as numbers; a new
 * reference. */
static json_t *layer_numbers(const struct lock *lock, size_t first, size_t end)
{
	auto_json *numbers = json_object();

	for (size_t i = 0; numbers && i < lock->n_accounts; i++) {
		const struct lock_account *account = &lock->accounts[i];
		size_t k = first;

		while (k < end && strcmp(lock->packages[k].name, account->package) != 0)
			k++;
		if (k < end && json_object_set_new(numbers, account->name,
						   json_integer(account->number)) < 0)
			return NULL;
	}
	return json_incref(numbers);
}

/* One layer: laid out by one stage and configured by another. */
static int add_layer(json_t *stages, const struct lock *lock, size_t first, size_t end,
		     struct cop_error *err)
{
	auto_json *references = json_object(), *packages = json_array();
	auto_json *names = json_array(), *automatic = json_array();
	auto_json *numbers = layer_numbers(lock, first, end);
	auto_buf checksum = {};
	json_t *inputs, *options;
	int r = 0;

	if (!references || !packages || !names || !automatic || !numbers)
		return err_oom(err);
	for (size_t i = first; i < end && r == 0; i++) {
		r = add_reference(references, packages, &lock->packages[i], &checksum);
		if (r == 0)
			r = add_names(names, automatic, &lock->packages[i],
				      lock->architecture);
	}
	if (r < 0)
		return err_oom(err);
	inputs = json_pack("{s:o}", "packages", files_input(json_incref(references)));
	if (!inputs)
		return err_oom(err);
	r = stages_add(stages, "org.coppice.deb.unpack", inputs,
		       json_pack("{s:s, s:O, s:O}", "architecture", lock->architecture,
				 "packages", packages, "numbers", numbers),
		       err);
	if (r < 0)
		return r;
	options = json_pack("{s:O, s:O, s:O}", "packages", names, "automatic", automatic,
			    "numbers", numbers);
	/* The base is the same for all, and the tools have no kernel. */
	if (options && initramfs_is_wanted(lock) &&
	    strcmp(lock->packages[first].layer, BASE_LAYER) != 0 &&
	    !lock_is_tool(&lock->packages[first]))
		(void)json_object_set_new(options, "skip-initramfs", json_true());
	return stages_add(stages, "org.coppice.deb.configure", NULL, options, err);
}

/* Those of the tree, or the base and the tools. */
static int add_layers(json_t *stages, const struct recipe *recipe,
		      const struct lock *lock, bool tools, struct cop_error *err)
{
	size_t first_initramfs = tools ? 0 : initramfs_layer(recipe, lock);

	for (size_t first = 0, end; first < lock->n_packages; first = end) {
		const char *layer = lock->packages[first].layer;
		int r;

		end = first + 1;
		while (end < lock->n_packages &&
		       strcmp(layer, lock->packages[end].layer) == 0)
			end++;
		if (strcmp(layer, BASE_LAYER) != 0 &&
		    lock_is_tool(&lock->packages[first]) != tools)
			continue;
		r = add_layer(stages, lock, first, end, err);
		if (r >= 0 && first == 0 && !tools)
			r = settings_add_debconf(stages, recipe, err);
		if (r >= 0 && end == first_initramfs)
			r = image_add_initramfs(stages, recipe, true, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the rest of the tree --- */

static int add_sources_stage(json_t *stages, const struct recipe *recipe,
			     struct cop_error *err)
{
	json_t *options = json_pack("{s:s, s:o}", "suite", recipe->suite, "components",
				    text_list(recipe->components));

	if (options && *recipe->mirrors)
		(void)json_object_set_new(options, "mirror",
					  json_string(recipe->mirrors[0]));
	if (options && *recipe->security_mirrors)
		(void)json_object_set_new(options, "security-mirror",
					  json_string(recipe->security_mirrors[0]));
	return stages_add(stages, "org.coppice.apt.sources", NULL, options, err);
}

void stages_add_owner(json_t *json, uint32_t user, const char *user_name, uint32_t group,
		      const char *group_name)
{
	(void)json_object_set_new(json, user_name ? "user" : "uid",
				  user_name ? json_string(user_name)
					    : json_integer((json_int_t)user));
	(void)json_object_set_new(json, group_name ? "group" : "gid",
				  group_name ? json_string(group_name)
					     : json_integer((json_int_t)group));
}

int stages_add_files(json_t *stages, const struct recipe_file *files, size_t n_files,
		     struct cop_error *err)
{
	auto_json *list = json_array(), *references = json_object();
	auto_buf checksum = {};

	for (size_t i = 0; list && i < n_files; i++) {
		const struct recipe_file *file = &files[i];
		json_t *json;

		if (file->secret)
			continue;
		if (checksum_of(file->sha256, &checksum) < 0)
			return err_oom(err);
		json = json_pack("{s:s, s:s, s:i}", "path", file->path, "checksum",
				 checksum.data, "mode", (int)file->mode);
		stages_add_owner(json, file->user, file->user_name, file->group,
				 file->group_name);
		if (json_array_append_new(list, json) < 0 ||
		    json_object_set_new(references, checksum.data, json_object()) < 0)
			return err_oom(err);
	}
	if (json_array_size(list) == 0)
		return list ? 0 : err_oom(err);
	return stages_add(
		stages, "org.coppice.files",
		json_pack("{s:o}", "files", files_input(json_incref(references))),
		json_pack("{s:O}", "files", list), err);
}

static int add_commands(json_t *stages, const char **commands, struct cop_error *err)
{
	return *commands ? stages_add(stages, "org.coppice.run", NULL,
				      json_pack("{s:o}", "commands", text_list(commands)),
				      err)
			 : 0;
}

static int add_small_stages(json_t *stages, const struct recipe *recipe,
			    const struct lock *lock, const struct recipe_files *apt,
			    struct cop_error *err)
{
	int r = image_add_config(stages, recipe, err);

	if (r >= 0)
		r = add_sources_stage(stages, recipe, err);
	if (r >= 0)
		r = stages_add_files(stages, apt->files, apt->n_files, err);
	if (r >= 0)
		r = settings_add_system(stages, recipe, lock, err);
	if (r >= 0)
		r = stages_add_files(stages, recipe->files, recipe->n_files, err);
	if (r >= 0)
		r = settings_add_services(stages, recipe, lock, err);
	if (r >= 0)
		r = add_commands(stages, recipe->commands, err);
	if (r >= 0 && initramfs_is_wanted(lock))
		r = image_add_initramfs(stages, recipe, false, err);
	if (r >= 0)
		r = image_add_loader(stages, recipe, err);
	if (r >= 0)
		r = stages_add(stages, "org.coppice.hosts", NULL,
			       recipe->hostname
				       ? json_pack("{s:s}", "hostname", recipe->hostname)
				       : json_object(),
			       err);
	if (r >= 0 && recipe->hostname)
		r = stages_add(stages, "org.osbuild.hostname", NULL,
			       json_pack("{s:s}", "hostname", recipe->hostname), err);
	/* As late as can be: what comes behind is never shared. */
	if (r >= 0)
		r = stages_add_secrets(stages, recipe, err);
	if (r >= 0)
		r = add_commands(stages, recipe->late_commands, err);
	return r;
}

/* --- pipelines --- */

json_t *stages_tree_input(const char *name, const char *pipeline)
{
	return json_pack("{s:{s:s, s:s, s:[s++]}}", name, "type", "org.osbuild.tree",
			 "origin", "org.osbuild.pipeline", "references",
			 "name:", pipeline, "");
}

/* @stages is taken over. */
static int add_pipeline(json_t *pipelines, const char *name, bool has_build,
			const struct lock *lock, json_t *stages, struct cop_error *err)
{
	json_t *pipeline = json_pack("{s:s, s:I, s:o}", "name", name, "source-epoch",
				     (json_int_t)lock->source_epoch, "stages", stages);

	if (pipeline && has_build)
		(void)json_object_set_new(pipeline, "build", json_string("name:build"));
	return json_array_append_new(pipelines, pipeline) < 0 ? err_oom(err) : 0;
}

static int add_build(json_t *pipelines, const struct recipe *recipe,
		     const struct lock *lock, struct cop_error *err)
{
	json_t *stages = json_array();
	int r = add_layers(stages, recipe, lock, true, err);

	if (r < 0) {
		json_decref(stages);
		return r;
	}
	return add_pipeline(pipelines, "build", false, lock, stages, err);
}

static int add_tree(json_t *pipelines, const struct recipe *recipe,
		    const struct lock *lock, const struct recipe_files *apt,
		    struct cop_error *err)
{
	json_t *stages = json_array();
	int r = add_layers(stages, recipe, lock, false, err);

	if (r >= 0)
		r = add_small_stages(stages, recipe, lock, apt, err);
	if (r < 0) {
		json_decref(stages);
		return r;
	}
	return add_pipeline(pipelines, "tree", false, lock, stages, err);
}

static int add_tar(json_t *pipelines, const struct lock *lock, struct cop_error *err)
{
	json_t *stages = json_array();
	int r = stages_add(stages, "org.osbuild.tar", stages_tree_input("tree", "tree"),
			   json_pack("{s:s}", "filename", "rootfs.tar"), err);

	if (r < 0) {
		json_decref(stages);
		return r;
	}
	return add_pipeline(pipelines, "tar", false, lock, stages, err);
}

static int add_output(json_t *pipelines, const struct recipe *recipe,
		      const struct lock *lock, bool has_build, const char *name,
		      int (*add)(json_t *stages, const struct recipe *recipe,
				 struct cop_error *err),
		      struct cop_error *err)
{
	json_t *stages = json_array();
	int r = add(stages, recipe, err);

	if (r < 0) {
		json_decref(stages);
		return r;
	}
	return add_pipeline(pipelines, name, has_build, lock, stages, err);
}

static int add_image(json_t *pipelines, const struct recipe *recipe,
		     const struct lock *lock, bool has_build, struct cop_error *err)
{
	int r = 0;

	if (recipe->image->format->qemu)
		r = add_output(pipelines, recipe, lock, has_build, "disk", image_add_disk,
			       err);
	return r < 0 ? r
		     : add_output(pipelines, recipe, lock, has_build, "image",
				  image_add_format, err);
}

/* --- sources --- */

/* Where else a package may be looked for, only as far as the recipe says it. */
static int add_places(json_t *json, const struct recipe *recipe,
		      const struct lock_repository *repository)
{
	const struct recipe_repository *extra = repositories_of(recipe, repository->id);
	const bool security = text_ends_with(repository->suite, "-security");
	const char **mirrors = extra	  ? extra->uris
			       : security ? recipe->security_mirrors
					  : recipe->mirrors;
	const char *snapshot = extra	  ? extra->snapshot
			       : security ? recipe->security_snapshot
					  : recipe->snapshot;
	int r = 0;

	if (*mirrors)
		r = json_object_set_new(json, "mirrors", text_list(mirrors));
	if (r == 0 && snapshot)
		r = json_object_set_new(json, "snapshot", json_string(snapshot));
	return r;
}

static json_t *repositories(const struct recipe *recipe, const struct lock *lock)
{
	auto_json *json = json_object();

	/* Nobody but the recipe knows where those are. */
	if (lock_has_files(lock) &&
	    json_object_set_new(json, LOCAL_REPOSITORY,
				json_pack("{s:s, s:b}", "origin", "", "local", 1)) < 0)
		return NULL;
	for (size_t i = 0; i < lock->n_repositories; i++) {
		const struct lock_repository *repository = &lock->repositories[i];
		const char *date = lock->snapshot ? lock->snapshot : lock->date;
		json_t *one = json_pack("{s:s, s:s, s:s, s:s}", "origin",
					repository->origin, "label", repository->label,
					"suite", repository->suite, "date", date);

		if (json_object_set_new(json, repository->id, one) < 0 ||
		    add_places(one, recipe, repository) < 0)
			return NULL;
	}
	return json_incref(json);
}

static json_t *package_items(const struct lock *lock)
{
	auto_json *items = json_object();
	auto_buf checksum = {};

	for (size_t i = 0; i < lock->n_packages; i++) {
		const struct lock_package *package = &lock->packages[i];

		if (checksum_of(package->sha256, &checksum) < 0 ||
		    json_object_set_new(items, checksum.data,
					json_pack("{s:s, s:s, s:I}", "repository",
						  package->repository, "path",
						  package->path, "size",
						  (json_int_t)package->size)) < 0)
			return NULL;
	}
	return json_incref(items);
}

static int append_base64(struct buf *buf, const char *bytes, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789+/";
	const unsigned char *from = (const unsigned char *)bytes;
	int r = size > 0 ? buf_reserve(buf, (size + 2) / 3 * 4) : 0;

	for (size_t i = 0; r == 0 && i < size; i += 3) {
		size_t left = size - i;
		unsigned int word = (unsigned int)from[i] << 16;

		if (left > 1)
			word |= (unsigned int)from[i + 1] << 8;
		if (left > 2)
			word |= from[i + 2];
		(void)buf_append_char(buf, digits[word >> 18]);
		(void)buf_append_char(buf, digits[word >> 12 & 63]);
		(void)buf_append_char(buf, left > 1 ? digits[word >> 6 & 63] : '=');
		r = buf_append_char(buf, left > 2 ? digits[word & 63] : '=');
	}
	return r;
}

static int add_file_items(json_t *items, const struct recipe_file *files, size_t n_files)
{
	auto_buf checksum = {};

	for (size_t i = 0; i < n_files; i++) {
		const struct recipe_file *file = &files[i];
		auto_buf data = {};

		if (file->secret)
			continue;
		if (checksum_of(file->sha256, &checksum) < 0 ||
		    append_base64(&data, file->content, file->size) < 0 ||
		    json_object_set_new(items, checksum.data,
					json_pack("{s:s, s:s}", "encoding", "base64",
						  "data", buf_text(&data))) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_sources(json_t *manifest, const struct recipe *recipe,
		       const struct lock *lock, const struct recipe_files *apt,
		       struct cop_error *err)
{
	json_t *deb = json_pack("{s:o, s:{s:o}}", "items", package_items(lock), "options",
				"repositories", repositories(recipe, lock));
	json_t *sources = json_pack("{s:o}", "org.coppice.deb", deb);
	auto_json *items = json_object();
	int r = items ? 0 : -ENOMEM;

	if (items)
		r = add_file_items(items, recipe->files, recipe->n_files);
	if (r == 0)
		r = add_file_items(items, recipe->settings->files,
				   recipe->settings->n_files);
	if (r == 0 && settings_ssh_unit(lock))
		r = add_file_items(items, settings_ssh_unit(lock), 1);
	if (r == 0)
		r = add_file_items(items, apt->files, apt->n_files);
	if (r == 0 && recipe->image)
		r = add_file_items(items, recipe->image->files, recipe->image->n_files);
	if (r < 0 || (sources && json_object_size(items) > 0 &&
		      json_object_set_new(sources, "org.osbuild.inline",
					  json_pack("{s:O}", "items", items)) < 0)) {
		json_decref(sources);
		return err_oom(err);
	}
	return json_object_set_new(manifest, "sources", sources) < 0 ? err_oom(err) : 0;
}

int recipe_manifest(const struct recipe *recipe, const struct lock *lock, bool host_tools,
		    json_t **ret_json, struct cop_error *err)
{
	const bool has_build = !host_tools && image_tools(recipe);
	auto_ptr(arena) arena = arena_new();
	struct recipe_files apt = {};
	auto_json *manifest = NULL;
	json_t *pipelines;
	int r;

	if (!arena)
		return err_oom(err);
	if (!lock_matches(lock, recipe))
		return err_set(err, -ESTALE,
			       "'%s': the lock answers another request; run 'coppice "
			       "lock %s'",
			       recipe->path, recipe->path);
	pipelines = json_array();
	manifest = json_pack("{s:s, s:o}", "version", "2", "pipelines", pipelines);
	if (!manifest)
		return err_oom(err);
	r = lock_check_files(lock, recipe, err);
	if (r < 0)
		return r;
	r = repositories_files(recipe, lock, arena, &apt, err);
	if (r >= 0 && has_build)
		r = add_build(pipelines, recipe, lock, err);
	if (r >= 0)
		r = add_tree(pipelines, recipe, lock, &apt, err);
	if (r >= 0 && recipe->image && recipe->image->format->filename)
		r = add_image(pipelines, recipe, lock, has_build, err);
	else if (r >= 0 && !recipe->image)
		r = add_tar(pipelines, lock, err);
	if (r >= 0)
		r = add_sources(manifest, recipe, lock, &apt, err);
	if (r < 0)
		return r;
	*ret_json = TAKE_PTR(manifest);
	return 0;
}
