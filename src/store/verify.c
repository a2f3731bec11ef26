/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First everything is hashed by name.  Then it is found out who has what is wrong: for a
 * whole store by the side lists, and only an object with something wrong in its list is
 * parsed.  Nothing is removed here: a file that is wrong is marked by its mode, an object
 * by meta/damaged.
 */
#include "store/verify.h"

#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "store/check.h"
#include "store/gc-private.h"
#include "store/settings.h"
#include "json/json.h"

struct verify {
	struct cop_store *store;
	const struct verify_request *request;
	struct snapshot pool;			 /* when the whole store is verified */
	struct check *files, *objects, *sources; /* the first two by digest */
	size_t n_files, n_objects, n_sources;
	struct arena *arena;
	pthread_mutex_t mutex; /* guards: */
	struct map *known;     /* digest -> place in @wounds plus 1 */
	struct wound *wounds;
	size_t n_wounds, wounds_room;
};

static void verify_done(struct verify *verify)
{
	snapshot_done(&verify->pool);
	free(verify->files);
	free(verify->objects);
	free(verify->sources);
	for (size_t i = 0; i < verify->n_wounds; i++)
		json_decref(verify->wounds[i].victims);
	free(verify->wounds);
	map_free(verify->known);
	arena_free(verify->arena);
	(void)pthread_mutex_destroy(&verify->mutex);
}

/* ---- what there is to look at */

static int take_snapshot(const struct snapshot *snapshot, enum check_kind kind,
			 struct check **ret_checks, size_t *ret_n, struct cop_error *err)
{
	struct check *checks = calloc(snapshot->n + 1, sizeof(*checks));

	if (!checks)
		return err_oom(err);
	for (size_t i = 0; i < snapshot->n; i++)
		checks[i] = (struct check){.digest = snapshot->digests[i],
					   .n_bytes = snapshot->bytes[i],
					   .kind = (uint8_t)kind};
	*ret_checks = checks;
	*ret_n = snapshot->n;
	return 0;
}

static int add_sources(struct verify *verify, const char *directory,
		       struct cop_error *err)
{
	struct check *grown;
	char **names = NULL;
	auto_buf path = {};
	auto_close int fd = -EBADF;
	size_t n = 0;
	int r;

	if (buf_printf(&path, "sources/%s", directory) < 0)
		return err_oom(err);
	fd = openat(verify->store->fd, path.data,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	r = fs_list(fd, &names, &n, err);
	grown = reallocarray(verify->sources, verify->n_sources + n + 1, sizeof(*grown));
	if (grown)
		verify->sources = grown;
	else if (r == 0)
		r = err_oom(err);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct check check = {.kind = CHECK_SOURCE};
		struct stat st;

		/* Others than ALGORITHM:HEX say nothing of their content. */
		if (!strchr(names[i], ':') ||
		    fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		buf_truncate(&path, 0);
		(void)buf_printf(&path, "%s/%s", directory, names[i]);
		check.name = path.failed
				     ? NULL
				     : arena_memdup(verify->arena, path.data, path.size);
		check.n_bytes = (uint64_t)st.st_size;
		if (!check.name)
			r = err_oom(err);
		else
			verify->sources[verify->n_sources++] = check;
	}
	fs_list_free(names);
	return r;
}

static int collect_sources(struct verify *verify, struct cop_error *err)
{
	auto_close int fd = fs_open_plain(verify->store->fd, "sources",
					  O_RDONLY | O_DIRECTORY, 0, err);
	char **names = NULL;
	int r = fd < 0 ? fd : fs_list(fd, &names, NULL, err);

	for (char **name = names; r == 0 && *name; name++)
		r = add_sources(verify, *name, err);
	fs_list_free(names);
	return r;
}

static int collect_store(struct verify *verify, struct cop_error *err)
{
	struct snapshot objects = {};
	int r = snapshot_read(verify->store, "objects", &objects, err);

	if (r == 0)
		r = take_snapshot(&objects, CHECK_OBJECT, &verify->objects,
				  &verify->n_objects, err);
	snapshot_done(&objects);
	if (r == 0)
		r = snapshot_read(verify->store, "files", &verify->pool, err);
	if (r == 0)
		r = take_snapshot(&verify->pool, CHECK_FILE, &verify->files,
				  &verify->n_files, err);
	return r < 0 ? r : collect_sources(verify, err);
}

/* The files of one tree more; sorted and each once only at the end. */
static int add_tree_files(struct verify *verify, const struct tree *tree,
			  struct cop_error *err)
{
	struct check *grown = reallocarray(
		verify->files, verify->n_files + tree->n_nodes + 1, sizeof(*grown));

	if (!grown)
		return err_oom(err);
	verify->files = grown;
	for (const struct tree_node *node = tree->root; node; node = tree_next(node))
		if (!node->link && node->digest)
			grown[verify->n_files++] = (struct check){.digest = *node->digest,
								  .n_bytes = node->size,
								  .kind = CHECK_FILE};
	return 0;
}

static size_t unique(struct check *checks, size_t n)
{
	size_t kept = 0;

	check_sort(checks, n);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 ||
		    !cop_digest_equal(&checks[kept - 1].digest, &checks[i].digest))
			checks[kept++] = checks[i];
	return kept;
}

static int collect_tree(struct verify *verify, const struct cop_digest *digest,
			struct cop_error *err)
{
	struct check *check = &verify->objects[verify->n_objects];
	auto_ptr(tree) tree = NULL;
	struct cop_error reason = {};
	int r;

	*check = (struct check){.digest = *digest, .kind = CHECK_OBJECT};
	verify->n_objects++;
	/* One that cannot be parsed will be found out by its own digest. */
	r = object_read_tree(verify->store, digest, &tree, &reason);
	if (r == -ENOMEM)
		return err_copy(err, &reason);
	return r < 0 ? 0 : add_tree_files(verify, tree, err);
}

static int collect_trees(struct verify *verify, struct cop_error *err)
{
	const char *const *trees = verify->request->trees;
	size_t n = 0;
	int r = 0;

	while (trees[n])
		n++;
	verify->objects = calloc(n + 1, sizeof(*verify->objects));
	if (!verify->objects)
		return err_oom(err);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct cop_digest digest;

		r = cop_store_resolve(verify->store, trees[i], &digest, err);
		if (r == 0)
			r = collect_tree(verify, &digest, err);
	}
	verify->n_objects = unique(verify->objects, verify->n_objects);
	verify->n_files = unique(verify->files, verify->n_files);
	return r;
}

/* ---- who has what is wrong */

/* The wound of @check, made when it is new; the caller holds the mutex. */
static struct wound *get_wound(struct verify *verify, const struct check *check)
{
	struct wound *grown;
	const char *key;
	void **slot;

	if (check->kind != CHECK_SOURCE) {
		uintptr_t place = (uintptr_t)map_get(verify->known, &check->digest,
						     sizeof(check->digest));
		if (place)
			return &verify->wounds[place - 1];
	}
	if (verify->n_wounds == verify->wounds_room) {
		size_t wanted = verify->wounds_room ? verify->wounds_room * 2 : 16;

		grown = reallocarray(verify->wounds, wanted, sizeof(*grown));
		if (!grown)
			return NULL;
		verify->wounds = grown;
		verify->wounds_room = wanted;
	}
	if (check->kind != CHECK_SOURCE) {
		key = arena_memdup(verify->arena, &check->digest, sizeof(check->digest));
		slot = key ? map_slot(verify->known, key, sizeof(check->digest)) : NULL;
		if (!slot)
			return NULL;
		*slot = (void *)(uintptr_t)(verify->n_wounds + 1);
	}
	grown = &verify->wounds[verify->n_wounds];
	*grown = (struct wound){.check = *check, .victims = json_array()};
	if (!grown->victims)
		return NULL;
	verify->n_wounds++;
	return grown;
}

static int add_victim(struct verify *verify, const struct check *check, uint64_t size,
		      const struct cop_digest *object, const char *path,
		      struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	struct wound *wound;
	json_t *victim = NULL;
	int r = 0;

	/* Names are bytes; what JSON cannot say is left out. */
	if (object)
		victim = json_pack("{s:s, s:[], s:o*}", "digest",
				   cop_digest_to_hex(object, hex), "refs", "path",
				   path ? json_string(path) : NULL);
	(void)pthread_mutex_lock(&verify->mutex);
	wound = get_wound(verify, check);
	if (wound && size)
		wound->size = size;
	if (!wound || (victim && json_array_append_new(wound->victims, victim) < 0))
		r = -ENOMEM;
	(void)pthread_mutex_unlock(&verify->mutex);
	return r < 0 ? err_oom(err) : 0;
}

/* How the file of a tree is; one that came after we looked is right. */
static int look_up_file(struct verify *verify, const struct tree_node *node,
			struct check *ret_check, struct cop_error *err)
{
	const struct check *check =
		check_find(verify->files, verify->n_files, node->digest);
	int r;

	if (check && check->state != CHECK_GONE) {
		*ret_check = *check;
		return 0;
	}
	*ret_check = (struct check){.digest = *node->digest, .kind = CHECK_FILE};
	r = pool_state(verify->store, node->digest, node->size, err);
	if (r == 0)
		ret_check->state = CHECK_GONE;
	return r < 0 ? r : 0;
}

/* Return: 1 when something of the object is damaged. */
static int find_victims(struct verify *verify, const struct cop_digest *object,
			struct cop_error *err)
{
	const struct check unreadable = {
		.digest = *object, .kind = CHECK_OBJECT, .state = CHECK_WRONG};
	auto_ptr(tree) tree = NULL;
	auto_ptr(map) seen = map_new();
	int r = object_read_tree(verify->store, object, &tree, err), found = 0;

	if (!seen)
		return err_oom(err);
	/* Collected meanwhile. */
	if (r == -ENOENT)
		return 0;
	if (r == -EBADMSG) {
		r = add_victim(verify, &unreadable, 0, object, NULL, err);
		return r < 0 ? r : 1;
	}
	for (const struct tree_node *node = r == 0 ? tree->root : NULL; node && r == 0;
	     node = tree_next(node)) {
		auto_free char *path = NULL;
		struct check check;
		void **slot;

		if (node->link || !node->digest)
			continue;
		r = look_up_file(verify, node, &check, err);
		if (r < 0 || check.state == CHECK_RIGHT)
			continue;
		found = 1;
		/* Of several places in a tree the first will do. */
		slot = map_slot(seen, node->digest, sizeof(*node->digest));
		if (!slot)
			return err_oom(err);
		if (*slot)
			continue;
		*slot = seen;
		path = tree_path(node);
		r = add_victim(verify, &check, node->size, object, path, err);
	}
	return r < 0 ? r : found;
}

/* Whether the side list names something that is not right. */
static int list_has_damage(struct verify *verify, const struct cop_digest *object,
			   struct cop_error *err)
{
	const struct snapshot *pool = &verify->pool;
	auto_buf list = {};
	int r = list_get(verify->store, object, false, &list, err);

	if (r < 0)
		return r;
	for (size_t at = 0; at + LIST_PREFIX <= list.size; at += LIST_PREFIX) {
		uint64_t key = prefix_key((const uint8_t *)list.data + at);
		size_t i = snapshot_first(pool, key);

		if (i == pool->n || pool->keys[i] != key)
			return 1;
		for (; i < pool->n && pool->keys[i] == key; i++)
			if (verify->files[i].state != CHECK_RIGHT)
				return 1;
	}
	return 0;
}

/* What carries a mark and is whole was damaged once. */
static void unmark(struct verify *verify, const struct cop_digest *object)
{
	char path[STORE_PATH_SIZE];

	if (!verify->store->read_only)
		(void)unlinkat(verify->store->fd, damaged_path(object, path), 0);
}

static int judge_object(void *data, void *item, struct cop_error *err)
{
	struct verify *verify = data;
	const struct check *check = item;
	struct cop_error reason = {};
	int r = 1;

	if (check->state == CHECK_GONE && !verify->request->trees)
		return 0;
	if (check->state != CHECK_RIGHT) {
		if (!verify->store->read_only)
			(void)object_mark_damaged(verify->store, &check->digest, NULL);
		return add_victim(verify, check, 0, &check->digest, NULL, err);
	}
	if (!verify->request->trees)
		r = list_has_damage(verify, &check->digest, &reason);
	if (r == 0) {
		unmark(verify, &check->digest);
		return 0;
	}
	if (r == -ENOENT)
		return 0;
	r = find_victims(verify, &check->digest, err);
	if (r == 0)
		unmark(verify, &check->digest);
	else if (r > 0 && !verify->store->read_only)
		(void)object_mark_damaged(verify->store, &check->digest, NULL);
	return r < 0 ? r : 0;
}

static int judge_objects(struct verify *verify, struct cop_error *err)
{
	static const struct work_ops ops = {.run = judge_object};
	auto_ptr(work) work = NULL;
	int r = work_new(&ops, verify, 0, &work, err);

	for (size_t i = 0; i < verify->n_objects && r == 0; i++)
		r = work_add(work, &verify->objects[i]);
	return work ? work_finish(work, err) : r;
}

/* Files that no tree has are damaged too, and in the way of who writes them next. */
static int judge_rest(struct verify *verify, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < verify->n_files && r == 0; i++) {
		const struct check *check = &verify->files[i];

		if (check->state != CHECK_WRONG && check->state != CHECK_UNREADABLE)
			continue;
		pool_mark_damaged(verify->store, &check->digest);
		r = add_victim(verify, check, 0, NULL, NULL, err);
	}
	for (size_t i = 0; i < verify->n_sources && r == 0; i++)
		if (verify->sources[i].state == CHECK_WRONG ||
		    verify->sources[i].state == CHECK_UNREADABLE)
			r = add_victim(verify, &verify->sources[i], 0, NULL, NULL, err);
	return r;
}

/* ---- the report */

struct naming {
	struct verify *verify;
	const char *prefix;
};

/* A ref to the tree of a victim. */
static int name_victims(void *data, const char *name, const struct cop_digest *digest)
{
	const struct naming *naming = data;
	char hex[COP_DIGEST_HEX + 1], text[REF_PATH_SIZE];

	(void)cop_digest_to_hex(digest, hex);
	(void)snprintf(text, sizeof(text), "%s%s", naming->prefix, name);
	for (size_t i = 0; i < naming->verify->n_wounds; i++) {
		json_t *victim;
		size_t k;

		json_array_foreach (naming->verify->wounds[i].victims, k, victim)
			if (strcmp(hex, json_string_value(json_object_get(
						victim, "digest"))) == 0 &&
			    json_array_append_new(json_object_get(victim, "refs"),
						  json_string(text)) < 0)
				return -ENOMEM;
	}
	return 0;
}

static int name_all_victims(struct verify *verify, struct cop_error *err)
{
	static const char *const prefixes[] = {"", "stage/", "failed/"};
	int r = 0;

	if (verify->n_wounds == 0)
		return 0;
	for (enum ref_class class = REF_NAME; class <= REF_FAILED && r == 0; class ++) {
		struct naming naming = {.verify = verify, .prefix = prefixes[class]};

		r = ref_list(verify->store, class, NULL, name_victims, &naming, err);
	}
	return r == -ENOMEM ? err_oom(err) : r;
}

static json_t *wound_json(const struct wound *wound)
{
	static const char *const kinds[] = {"file", "tree", "download"};
	const struct check *check = &wound->check;
	char hex[COP_DIGEST_HEX + 1];

	return json_pack("{s:s, s:s, s:s, s:O, s:s?}", "what", kinds[check->kind], "name",
			 check->kind == CHECK_SOURCE
				 ? check->name
				 : cop_digest_to_hex(&check->digest, hex),
			 "how", check_how(check), "trees", wound->victims,
			 "repaired-from", wound->from);
}

static int report(const struct verify *verify, struct verify_result *ret,
		  json_t **ret_damaged, struct cop_error *err)
{
	auto_json *damaged = json_array();

	if (!damaged)
		return err_oom(err);
	for (size_t i = 0; i < verify->n_wounds; i++) {
		if (json_array_append_new(damaged, wound_json(&verify->wounds[i])) < 0)
			return err_oom(err);
		ret->n_repaired += verify->wounds[i].from != NULL;
	}
	ret->n_damaged = verify->n_wounds;
	ret->n_objects = verify->n_objects;
	ret->n_files = verify->n_files;
	ret->n_sources = verify->n_sources;
	for (size_t i = 0; i < verify->n_files; i++)
		ret->n_bytes += verify->files[i].n_bytes;
	for (size_t i = 0; i < verify->n_objects; i++)
		ret->n_bytes += verify->objects[i].n_bytes;
	for (size_t i = 0; i < verify->n_sources; i++)
		ret->n_bytes += verify->sources[i].n_bytes;
	*ret_damaged = TAKE_PTR(damaged);
	return 0;
}

static void note(const struct verify *verify, const struct verify_result *result)
{
	json_t *json;

	if (verify->store->read_only || verify->request->trees)
		return;
	json = json_pack("{s:I, s:I, s:I}", "bytes", (json_int_t)result->n_bytes,
			 "damaged", (json_int_t)result->n_damaged, "repaired",
			 (json_int_t)result->n_repaired);
	if (json)
		store_note_write(verify->store, "verify", json);
	json_decref(json);
}

static int run(struct verify *verify, struct cop_error *err)
{
	const struct cop_progress *progress = verify->request->progress;
	struct cop_store *store = verify->store;
	int r;

	verify->arena = arena_new();
	verify->known = map_new();
	if (!verify->arena || !verify->known)
		return err_oom(err);
	r = verify->request->trees ? collect_trees(verify, err)
				   : collect_store(verify, err);
	if (r == 0)
		r = check_all(store, verify->objects, verify->n_objects, progress, err);
	if (r == 0)
		r = check_all(store, verify->files, verify->n_files, progress, err);
	if (r == 0)
		r = check_all(store, verify->sources, verify->n_sources, progress, err);
	if (r == 0)
		r = judge_objects(verify, err);
	if (r == 0)
		r = judge_rest(verify, err);
	if (r == 0 && verify->request->repair && verify->n_wounds > 0)
		r = repair_all(store, verify->request, verify->wounds, verify->n_wounds,
			       err);
	return r < 0 ? r : name_all_victims(verify, err);
}

int store_verify(struct cop_store *store, const struct verify_request *request,
		 struct verify_result *ret, json_t **ret_damaged, struct cop_error *err)
{
	cleanup_with(verify_done) struct verify verify = {
		.store = store,
		.request = request,
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	int r = request->repair ? store_check_writable(store, err) : 0;

	*ret = (struct verify_result){};
	if (r == 0)
		r = run(&verify, err);
	if (r == 0)
		r = report(&verify, ret, ret_damaged, err);
	if (r < 0)
		return err_prefix(err, r, "verify store '%s'", store->path);
	note(&verify, ret);
	return 0;
}

static int refuse(const struct cop_digest *digest, const json_t *damaged,
		  const struct cop_store *store, struct cop_error *err)
{
	const json_t *first = json_array_get(damaged, 0);
	const char *path = json_string_value(json_object_get(
		json_array_get(json_object_get(first, "trees"), 0), "path"));
	char hex[COP_DIGEST_HEX + 1];

	return err_set(err, -EUCLEAN,
		       "object '%s' of store '%s' is damaged: %s%s%s is %s; build or "
		       "commit the tree again, or try 'coppice verify --repair'",
		       cop_digest_to_hex(digest, hex), store->path,
		       path ? "'" : "its image", path ? path : "", path ? "'" : "",
		       json_string_value(json_object_get(first, "how")));
}

int object_verify(struct cop_store *store, const struct cop_digest *digest,
		  const struct cop_progress *progress, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];
	const char *const trees[] = {cop_digest_to_hex(digest, hex), NULL};
	const struct verify_request request = {.trees = trees, .progress = progress};
	struct verify_result result;
	auto_json *damaged = NULL;
	int r;

	if (store->is_trusted)
		return 0;
	r = store_verify(store, &request, &result, &damaged, err);
	if (r < 0 || result.n_damaged == 0)
		return r;
	return refuse(digest, damaged, store, err);
}
