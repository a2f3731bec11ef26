/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging in three steps.  Scan: the upper becomes a tree, with the overlay's xattrs as
 * they are.  Settle: each of its directories finds the one of the lower tree that it is
 * the changed form of, each file that changed only its metadata finds its data.  Graft:
 * what the upper says nothing of moves over from the lower tree, whole directories by
 * their topmost node.  Last, names of one inode are brought together again.
 *
 * Each directory of the lower tree has at most one carrier in the result, and each of its
 * nodes moves once.  So no upper can make the result larger than both trees.
 */
#include "tree/merge.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tree/private.h"

#define METACOPY OVERLAY_XATTR_PREFIX "metacopy"

struct index_entry {
	uint64_t nid;
	struct tree_node *node;
};

/* What is known of a node of the lower tree. */
#define IS_TAKEN	 1u /* it is in the result */
#define LEADS_TO_CARRIED 2u /* a directory that has a carrier, or one above it */

struct merge {
	struct tree *lower;
	const struct tree_merge_options *options;
	struct tree *tree;	     /* of the upper, then the result */
	struct tree_node *index;     /* outside the tree; NULL: none */
	struct index_entry *entries; /* of the index, sorted by nid */
	size_t n_entries;
	struct tree_node **carriers; /* lower node->index -> who stands for it, or NULL */
	uint8_t *marks;		     /* lower node->index -> as above */
	struct tree_node **lowers;   /* upper node->index -> its lower directory */
	struct tree_node **names;    /* of the lower tree, whose inode may be elsewhere */
	size_t n_names;
	bool is_grafting; /* from then on @lower is no tree any more */
	struct tree_merge_report report;
};

static void merge_done(struct merge *merge)
{
	free(merge->entries);
	free(merge->carriers);
	free(merge->marks);
	free(merge->lowers);
	free(merge->names);
	tree_free(merge->tree);
}

/* A negative code with a message that begins with the path of @node; "" stands for the
 * name of an entry of the index too. */
static int refuse(const struct merge *merge, const struct tree_node *node,
		  const char *reason, const char *object, struct cop_error *err)
{
	auto_free char *path = tree_path(node);
	bool in_index = merge->index && node->parent == merge->index;

	return err_set(err, -EUCLEAN, "%s'%s': %s%s%s%s", in_index ? "index entry " : "",
		       path ? path : node->name, reason, object ? " '" : "",
		       object ? object : "", object ? "'" : "");
}

static int refuse_redirect(const struct merge *merge, const struct tree_node *node,
			   struct cop_error *err)
{
	return refuse(merge, node,
		      "the overlay's redirect is neither a name nor an absolute path",
		      NULL, err);
}

/* What the overlay shows at the place of @node before it was changed; NULL: nothing. */
static int find_lower(const struct merge *merge, const struct tree_node *node,
		      const struct overlay_marks *marks, struct tree_node **ret_lower,
		      struct cop_error *err)
{
	const struct tree_node *dir = NULL;
	const char *name = node->name;
	size_t size = strlen(name);

	if (marks->redirect) {
		name = marks->redirect;
		size = marks->redirect_size;
		if (size == 0 || memchr(name, '\0', size))
			return refuse_redirect(merge, node, err);
		if (name[0] == '/') {
			*ret_lower = tree_find(merge->lower, name);
			return 0;
		}
		if (memchr(name, '/', size))
			return refuse_redirect(merge, node, err);
	}
	if (node->parent != merge->index)
		dir = merge->lowers[node->parent->index];
	*ret_lower = dir ? tree_child(dir, name, size) : NULL;
	return 0;
}

static int settle_directory(struct merge *merge, struct tree_node *node,
			    const struct overlay_marks *marks, struct cop_error *err)
{
	struct tree_node *lower = merge->lower->root;
	int r = 0;

	if (node->parent && marks->opaque)
		return 0;
	if (node->parent)
		r = find_lower(merge, node, marks, &lower, err);
	if (r < 0 || !lower || !S_ISDIR(tree_inode(lower)->mode))
		return r;
	if (merge->carriers[lower->index]) {
		auto_free char *path = tree_path(lower);

		return refuse(merge, node,
			      "it and another directory both stand for the lower", path,
			      err);
	}
	merge->carriers[lower->index] = node;
	merge->lowers[node->index] = lower;
	for (; lower && !(merge->marks[lower->index] & LEADS_TO_CARRIED);
	     lower = lower->parent)
		merge->marks[lower->index] |= LEADS_TO_CARRIED;
	return 0;
}

/* Only the metadata of @node is in the upper.  @lower: an inode */
static int settle_data(struct merge *merge, struct tree_node *node,
		       const struct tree_node *lower, struct cop_error *err)
{
	uint64_t size = lower->size;
	char reason[128];

	merge->report.n_metadata++;
	/* A view shows whiteouts that are part of its tree as empty files. */
	if (tree_is_whiteout(lower))
		size = 0;
	else if (!S_ISREG(lower->mode))
		return refuse(merge, node,
			      "its data should be in the lower tree, where it is no file",
			      NULL, err);
	if (node->size != size) {
		(void)snprintf(reason, sizeof(reason),
			       "it has %llu bytes, but its data in the lower tree %llu",
			       (unsigned long long)node->size, (unsigned long long)size);
		return refuse(merge, node, reason, NULL, err);
	}
	if (size > 0) {
		node->digest = lower->digest;
		node->payload = lower->payload;
		node->payload_follows = lower->payload_follows;
		node->content = lower->content;
	}
	return 0;
}

static int settle_file(struct merge *merge, struct tree_node *node,
		       const struct overlay_marks *marks, struct cop_error *err)
{
	struct tree_node *lower = NULL;
	int r;

	if (!marks->metacopy) {
		merge->report.n_files++;
		merge->report.n_bytes += node->size;
		return 0;
	}
	r = find_lower(merge, node, marks, &lower, err);
	if (r < 0)
		return r;
	if (!lower)
		return refuse(merge, node,
			      "its data should be in the lower tree, which has no",
			      marks->redirect ? marks->redirect : node->name, err);
	return settle_data(merge, node, tree_inode(lower), err);
}

static int settle_node(struct merge *merge, struct tree_node *node, struct cop_error *err)
{
	struct overlay_marks marks;
	int r;

	/* Nobody but the overlay can make one. */
	if (tree_is_whiteout(node)) {
		merge->report.n_whiteouts++;
		return 0;
	}
	if (node->link)
		return 0;
	r = overlay_take_marks(merge->tree, node, &marks, err);
	if (r < 0)
		return r;
	if (S_ISDIR(node->mode))
		return settle_directory(merge, node, &marks, err);
	return S_ISREG(node->mode) ? settle_file(merge, node, &marks, err) : 0;
}

static int settle_all(struct merge *merge, struct cop_error *err)
{
	for (struct tree_node *node = merge->tree->root; node; node = tree_next(node)) {
		int r = settle_node(merge, node, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct index_entry *left = a, *right = b;

	if (left->nid == right->nid)
		return 0;
	return left->nid < right->nid ? -1 : 1;
}

static int list_entries(struct merge *merge, struct cop_error *err)
{
	struct tree_node *index = merge->index;

	if (!index || index->n_children == 0)
		return 0;
	merge->entries = calloc(index->n_children, sizeof(*merge->entries));
	if (!merge->entries)
		return err_oom(err);
	for (uint32_t i = 0; i < index->n_children; i++) {
		struct index_entry *entry = &merge->entries[merge->n_entries];
		int r;

		entry->node = index->children[i];
		/* Directories are there for nfs_export; whiteouts remember what is gone.
		 */
		if (S_ISDIR(tree_inode(entry->node)->mode) ||
		    tree_is_whiteout(entry->node))
			continue;
		r = overlay_index_nid(entry->node->name, &entry->nid);
		if (r < 0)
			return refuse(merge, entry->node,
				      "it stands for no file of an image", NULL, err);
		merge->n_entries += r == 0;
	}
	qsort(merge->entries, merge->n_entries, sizeof(*merge->entries), compare_entries);
	for (size_t i = 1; i < merge->n_entries; i++)
		if (merge->entries[i - 1].nid == merge->entries[i].nid)
			return refuse(merge, merge->entries[i].node,
				      "another one stands for the same file", NULL, err);
	return 0;
}

/* @lower: an inode of the lower tree, for which the entry stands from now on */
static int settle_entry(struct merge *merge, const struct index_entry *entry,
			struct tree_node *lower, struct cop_error *err)
{
	struct tree_node *inode = entry->node->link ? entry->node->link : entry->node;
	uint32_t type = tree_is_whiteout(lower) ? S_IFREG : lower->mode & S_IFMT;
	struct overlay_marks marks;
	int r;

	if ((inode->mode & S_IFMT) != type)
		return refuse(merge, entry->node,
			      "it stands for a file of another type in the lower tree",
			      NULL, err);
	merge->carriers[lower->index] = inode;
	merge->names[merge->n_names++] = lower;
	if (inode->parent != merge->index)
		return 0; /* settled where it has a name */
	r = overlay_take_marks(merge->tree, inode, &marks, err);
	if (r < 0 || !S_ISREG(inode->mode))
		return r;
	if (marks.metacopy)
		return settle_data(merge, inode, lower, err);
	merge->report.n_files++;
	merge->report.n_bytes += inode->size;
	return 0;
}

static int settle_index(struct merge *merge, struct cop_error *err)
{
	const struct tree_merge_options *options = merge->options;
	auto_free uint64_t *nids = NULL;
	size_t n_found = 0;
	int r;

	r = options->nids(options->nids_data, merge->lower, &nids, err);
	if (r < 0)
		return r;
	for (struct tree_node *lower = merge->lower->root; lower;
	     lower = tree_next(lower)) {
		struct index_entry *entry, key = {.nid = nids[lower->index]};

		if (lower->link || S_ISDIR(lower->mode))
			continue;
		entry = bsearch(&key, merge->entries, merge->n_entries, sizeof(key),
				compare_entries);
		if (!entry)
			continue;
		r = settle_entry(merge, entry, lower, err);
		if (r < 0)
			return r;
		n_found++;
		entry->node = NULL;
	}
	for (size_t i = 0; i < merge->n_entries && n_found < merge->n_entries; i++)
		if (merge->entries[i].node)
			return refuse(merge, merge->entries[i].node,
				      "the lower tree has no such file", NULL, err);
	return 0;
}

static struct tree_node **new_list(struct merge *merge, uint32_t n)
{
	return arena_alloc(merge->tree->arena,
			   tree_list_room(n) * sizeof(struct tree_node *));
}

/* The index of the node after all that is below @node. */
static uint32_t end_of(const struct merge *merge, const struct tree_node *node)
{
	for (; node->parent; node = node->parent)
		if (node->position + 1 < node->parent->n_children)
			return node->parent->children[node->position + 1]->index;
	return merge->lower->n_nodes;
}

/* Of the directories from @top down one has a carrier. */
static int refuse_moved(const struct merge *merge, const struct tree_node *top,
			struct cop_error *err)
{
	const struct tree_node *lower = top;

	while (!S_ISDIR(lower->mode) || !merge->carriers[lower->index])
		lower = tree_next(lower);
	return refuse(merge, merge->carriers[lower->index],
		      "it was moved, but is still at", lower->name, err);
}

/* @lower with all that is below it becomes part of @dir. */
static int take_lower(struct merge *merge, struct tree_node *dir, struct tree_node *lower,
		      struct cop_error *err)
{
	uint32_t n = end_of(merge, lower) - lower->index;

	if (merge->marks[lower->index] & LEADS_TO_CARRIED)
		return refuse_moved(merge, lower, err);
	for (uint32_t i = 0; i < n; i++)
		merge->marks[lower->index + i] |= IS_TAKEN;
	merge->report.n_taken += n;
	lower->parent = dir;
	dir->children[dir->n_children++] = lower;
	return 0;
}

/* Both lists are sorted; a name of the upper hides that of the lower tree. */
static int graft_children(struct merge *merge, struct tree_node *dir,
			  struct tree_node **uppers, uint32_t n_uppers,
			  struct tree_node *lower, struct cop_error *err)
{
	uint32_t n_lowers = lower ? lower->n_children : 0;
	uint32_t u = 0, l = 0;

	while (u < n_uppers || l < n_lowers) {
		int order = u == n_uppers ? 1 : -1;

		if (u < n_uppers && l < n_lowers)
			order = strcmp(uppers[u]->name, lower->children[l]->name);
		if (order > 0) {
			int r = take_lower(merge, dir, lower->children[l++], err);

			if (r < 0)
				return r;
			continue;
		}
		if (!tree_is_whiteout(uppers[u]))
			dir->children[dir->n_children++] = uppers[u];
		u++;
		l += order == 0;
	}
	return 0;
}

static bool holds_whiteouts(const struct tree_node *dir)
{
	for (uint32_t i = 0; i < dir->n_children; i++)
		if (tree_is_whiteout(dir->children[i]))
			return true;
	return false;
}

static int graft_directory(struct merge *merge, struct tree_node *dir,
			   struct cop_error *err)
{
	struct tree_node *lower = merge->lowers[dir->index];
	struct tree_node **uppers = dir->children;
	uint32_t n_uppers = dir->n_children;
	uint64_t n = (uint64_t)n_uppers + (lower ? lower->n_children : 0);
	int r;

	if (n == 0)
		return 0;
	if (n > UINT32_MAX / 2)
		return refuse(merge, dir, "it has too many entries", NULL, err);
	dir->children = new_list(merge, (uint32_t)n);
	dir->n_children = 0;
	if (!dir->children)
		return err_oom(err);
	r = graft_children(merge, dir, uppers, n_uppers, lower, err);
	/* Copied up with the directory, the marks outlive the last whiteout. */
	if (r == 0 && dir->n_xattrs > 0 && lower && holds_whiteouts(lower) &&
	    !tree_shows_whiteouts(dir))
		tree_drop_whiteout_marks(dir);
	return r;
}

/* Threads may still be writing into @inode: it is put where @name stands. */
static void replace(const struct tree_node *name, struct tree_node *inode)
{
	struct tree_node **slot =
		tree_child_slot(name->parent, name->name, name->name_size);

	assert(slot);
	tree_put_at(inode, name);
	*slot = inode;
}

static void join_name(struct merge *merge, struct tree_node *name)
{
	struct tree_node *inode = name->link ? name->link : name;
	struct tree_node **carrier = &merge->carriers[inode->index];

	if (!*carrier) {
		if (merge->marks[inode->index] & IS_TAKEN)
			return;
		/* The first of the names that are left. */
		tree_become(name, inode);
		*carrier = name;
	} else if (merge->index && (*carrier)->parent == merge->index) {
		/* The first name of what so far only the index has. */
		replace(name, *carrier);
	} else {
		const struct tree_node link = {.link = *carrier};

		tree_become(name, &link);
	}
}

static void join_names(struct merge *merge)
{
	for (size_t i = 0; i < merge->n_names; i++)
		if (merge->marks[merge->names[i]->index] & IS_TAKEN)
			join_name(merge, merge->names[i]);
}

static int graft_all(struct merge *merge, struct cop_error *err)
{
	uint32_t n = merge->tree->n_nodes, n_dirs = 0;
	auto_free struct tree_node **dirs = calloc(n, sizeof(struct tree_node *));

	/* The walk must not see what it grafts. */
	if (!dirs)
		return err_oom(err);
	for (struct tree_node *node = merge->tree->root; node; node = tree_next(node))
		if (S_ISDIR(node->mode))
			dirs[n_dirs++] = node;
	merge->is_grafting = true;
	for (uint32_t i = 0; i < n_dirs; i++) {
		int r = graft_directory(merge, dirs[i], err);

		if (r < 0)
			return r;
	}
	join_names(merge);
	return 0;
}

static bool same_xattrs(const struct tree_node *a, const struct tree_node *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (uint32_t i = 0; i < a->n_xattrs; i++)
		if (strcmp(a->xattrs[i].key, b->xattrs[i].key) != 0 ||
		    a->xattrs[i].size != b->xattrs[i].size ||
		    memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].size) !=
			    0)
			return false;
	return true;
}

/* Once the root is settled. */
static bool is_untouched(const struct merge *merge)
{
	const struct tree_node *lower = merge->lower->root;
	struct tree_node *root = merge->tree->root;

	if (root->n_children > 0 || merge->n_entries > 0)
		return false;
	/* The tree has none, as they follow from the whiteouts that it holds. */
	if (holds_whiteouts(lower))
		tree_drop_whiteout_marks(root);
	return root->mode == lower->mode && root->uid == lower->uid &&
	       root->gid == lower->gid && root->mtime_sec == lower->mtime_sec &&
	       root->mtime_nsec == lower->mtime_nsec && same_xattrs(root, lower);
}

static int merge_scanned(struct merge *merge, struct cop_error *err)
{
	int r;

	merge->report.n_entries = merge->tree->n_nodes - 1;
	merge->carriers = calloc(merge->lower->n_nodes, sizeof(*merge->carriers));
	merge->marks = calloc(merge->lower->n_nodes, sizeof(*merge->marks));
	merge->lowers = calloc(merge->tree->n_nodes, sizeof(*merge->lowers));
	if (!merge->carriers || !merge->marks || !merge->lowers)
		return err_oom(err);
	r = list_entries(merge, err);
	if (r < 0)
		return r;
	merge->names = calloc(merge->n_entries + merge->lower->n_links + 1,
			      sizeof(*merge->names));
	if (!merge->names)
		return err_oom(err);
	r = settle_all(merge, err);
	if (r == 0 && is_untouched(merge))
		return TREE_UNCHANGED;
	if (r == 0 && merge->n_entries > 0)
		r = settle_index(merge, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < merge->lower->n_links; i++)
		merge->names[merge->n_names++] = merge->lower->links[i];
	return graft_all(merge, err);
}

/* Data that is still in the lower tree is nothing that anybody must read. */
static int take_content(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	const struct tree_scan_options *options = data;

	if (tree_find_xattr(node, METACOPY)) {
		closep(&fd);
		return 0;
	}
	return options->content(options->data, tree, node, fd, st, path, err);
}

/* What a crash left in the index is not read. */
static int take_indexed(void *data, struct tree *tree, struct tree_node *node, int fd,
			const struct stat *st, const char *path, struct cop_error *err)
{
	uint64_t nid;

	if (overlay_index_nid(path, &nid) != 0) {
		closep(&fd);
		return 0;
	}
	return take_content(data, tree, node, fd, st, path, err);
}

static void lock_tree(void *data)
{
	const struct tree_scan_options *options = data;

	if (options->lock)
		options->lock(options->data);
}

static void unlock_tree(void *data)
{
	const struct tree_scan_options *options = data;

	if (options->unlock)
		options->unlock(options->data);
}

static void settle_content(void *data)
{
	const struct tree_scan_options *options = data;

	if (options->settle)
		options->settle(options->data);
}

static struct tree_scan_options scan_options(const struct tree_scan_options *options)
{
	return (struct tree_scan_options){
		.content = options->content ? take_content : NULL,
		.lock = lock_tree,
		.unlock = unlock_tree,
		.settle = settle_content,
		.data = (void *)options,
		.report = options->report,
	};
}

/* The result needs the memory of both trees. */
static void take_over(struct merge *merge, struct tree **lower)
{
	merge->tree->n_bytes_first = (*lower)->n_bytes_first;
	if (merge->tree->n_bytes_first == 0)
		merge->tree->n_bytes_first = arena_size((*lower)->arena);
	arena_adopt(merge->tree->arena, TAKE_PTR((*lower)->arena));
	*lower = tree_free(*lower);
}

int tree_merge(struct tree **lower, int upper_fd,
	       const struct tree_merge_options *options, struct tree **ret_tree,
	       struct cop_error *err)
{
	cleanup_with(merge_done) struct merge merge = {
		.lower = *lower,
		.options = options,
	};
	struct tree_scan_options upper = scan_options(options->upper);
	struct tree_scan_options index =
		scan_options(options->index ? options->index : options->upper);
	int r;

	if (index.content)
		index.content = take_indexed;
	r = tree_scan_upper(upper_fd, options->index_fd, &upper, &index, &merge.tree,
			    &merge.index, err);
	if (r < 0)
		return r;
	lock_tree((void *)options->upper);
	r = merge_scanned(&merge, err);
	if (merge.is_grafting)
		take_over(&merge, lower);
	unlock_tree((void *)options->upper);
	if (r != 0)
		settle_content((void *)options->upper);
	if (r >= 0 && options->report)
		*options->report = merge.report;
	if (r == 0)
		*ret_tree = TAKE_PTR(merge.tree);
	return r;
}
