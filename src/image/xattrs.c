/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xattrs of an image: what the overlay rewriting makes of those of the tree, and
 * which pairs of key and value are shared because more than one inode has them.
 *
 * Keys stay as the tree has them, with a mark for the escape.  Escaping keeps the order
 * of keys, so lists that are sorted in the tree are sorted here.
 */
#include "image/plan.h"

#include <assert.h>
#include <xxhash.h>

#define FREE_SLOT UINT32_MAX

/* What the rewriting can add to one inode, ascending by the key as it is written. */
#define ADDED_MAX 6

struct added {
	struct plan_item items[ADDED_MAX];
	uint32_t n;
};

static struct plan_item make_item(const char *key, bool escaped, enum plan_lead lead,
				  const char *value, size_t size)
{
	size_t prefix_size;

	return (struct plan_item){
		.key = key,
		.value = size ? value : "",
		.size = (uint32_t)size,
		.key_size = (uint8_t)strlen(key),
		.index = image_key_index(key, &prefix_size),
		.lead = (uint8_t)lead,
		.escaped = escaped,
	};
}

struct plan_item plan_part(const struct plan_item *item, bool is_redirect)
{
	if (item->lead != LEAD_PAIR)
		return *item;
	if (is_redirect)
		return make_item(OVERLAY_REDIRECT, false, LEAD_PAYLOAD, item->value,
				 item->size);
	return make_item(OVERLAY_METACOPY, false, LEAD_METACOPY, item->value, item->size);
}

/* The sizes of what every pair is. */
#define TRUSTED_NAME_SIZE(key) (sizeof(key) - sizeof("trusted."))
#define METACOPY_NAME_SIZE     TRUSTED_NAME_SIZE(OVERLAY_METACOPY)
#define REDIRECT_NAME_SIZE     TRUSTED_NAME_SIZE(OVERLAY_REDIRECT)

uint64_t plan_item_size(const struct plan_item *item)
{
	size_t prefix_size;

	if (item->lead == LEAD_PAIR)
		return image_entry_size(METACOPY_NAME_SIZE, METACOPY_SIZE) +
		       image_entry_size(REDIRECT_NAME_SIZE, TREE_PAYLOAD_SIZE);
	prefix_size = strlen(image_key_prefix(item->index));
	return image_entry_size(plan_name_size(item, prefix_size),
				plan_lead_size(item) + item->size);
}

static void add(struct added *added, const char *key, bool escaped, enum plan_lead lead,
		const char *value, size_t size)
{
	assert(added->n < ADDED_MAX);
	added->items[added->n++] = make_item(key, escaped, lead, value, size);
}

/* As a text, for one key must not have values of two kinds, which could not be compared.
 */
static void add_redirect(struct image_plan *plan, const struct tree_node *node,
			 struct added *added)
{
	const char *payload = tree_payload_of(node, plan->next_text);

	if (payload && *payload)
		add(added, OVERLAY_REDIRECT, false, LEAD_REDIRECT, payload,
		    strlen(payload));
	if (payload == plan->next_text)
		plan->next_text += TREE_PAYLOAD_SIZE;
}

static void rewrite(struct image_plan *plan, const struct plan_inode *inode,
		    struct added *added)
{
	const struct tree_node *node = inode->node;
	bool holds_whiteouts = inode->flags & PLAN_HOLDS_WHITEOUTS;
	bool is_whiteout = inode->flags & PLAN_WHITEOUT;
	bool opaque = holds_whiteouts && plan->version >= 1;
	bool pooled = plan_is_pooled(node);

	if (pooled && node->digest)
		add(added, OVERLAY_METACOPY, false,
		    plan->has_pairs ? LEAD_PAIR : LEAD_METACOPY,
		    (const char *)node->digest->bytes, sizeof(node->digest->bytes));
	else if (pooled)
		add(added, OVERLAY_METACOPY, false, LEAD_NONE, "", 0);
	if (!node->parent)
		add(added, OVERLAY_OPAQUE, false, LEAD_NONE, "y", 1);
	if (opaque)
		add(added, OVERLAY_OPAQUE, true, LEAD_NONE, "x", 1);
	if (is_whiteout)
		add(added, OVERLAY_WHITEOUT, true, LEAD_NONE, "", 0);
	if (holds_whiteouts)
		add(added, OVERLAY_WHITEOUTS, true, LEAD_NONE, "", 0);
	if (pooled && !plan->has_pairs)
		add_redirect(plan, node, added);
	if (opaque)
		add(added, USER_OPAQUE, false, LEAD_NONE, "x", 1);
	if (is_whiteout)
		add(added, USER_WHITEOUT, false, LEAD_NONE, "", 0);
	if (holds_whiteouts)
		add(added, USER_WHITEOUTS, false, LEAD_NONE, "", 0);
}

/* compare_keys() - by the full keys as they are written, as strcmp() does */
static int compare_keys(const struct plan_item *a, const struct plan_item *b)
{
	const struct plan_item *escaped = a->escaped ? a : b;
	const struct plan_item *plain = a->escaped ? b : a;
	int order;

	if (a->escaped == b->escaped)
		return strcmp(a->key, b->key);
	if (strncmp(plain->key, OVERLAY_PREFIX, OVERLAY_PREFIX_SIZE) == 0)
		order = strcmp(OVERLAY_ESCAPE, plain->key + OVERLAY_PREFIX_SIZE);
	else
		order = strcmp(escaped->key, plain->key);
	return a->escaped ? order : -order;
}

static int check_limits(const struct tree_node *node, struct cop_error *err)
{
	uint64_t sum = XATTR_SUM_BASE;

	for (uint32_t i = 0; i < node->n_xattrs; i++) {
		const struct tree_xattr *xattr = &node->xattrs[i];
		size_t key_size = strnlen(xattr->key, XATTR_KEY_MAX + 1);

		if (key_size == 0 || key_size > XATTR_KEY_MAX)
			return image_refuse(node, -ERANGE,
					    "the key of an xattr is 1 to 255 bytes", err);
		sum += XATTR_SUM_EACH + key_size + xattr->size;
	}
	if (sum > XATTR_SUM_MAX)
		return image_refuse(node, -ERANGE,
				    "its xattrs are over the 32767 bytes that an image "
				    "can hold for one file",
				    err);
	return 0;
}

static void append_item(struct image_plan *plan, struct plan_inode *inode,
			const struct plan_item *item)
{
	assert(plan->n_items < plan->n_items_max);
	plan->items[plan->n_items++] = *item;
	inode->n_items++;
	if (item->index == 2 || item->index == 3)
		plan->has_acl = true;
}

/* Two sorted lists become one; where both have a key, ours wins. */
static int add_items(struct image_plan *plan, struct plan_inode *inode,
		     struct cop_error *err)
{
	const struct tree_node *node = inode->node;
	not_zeroed struct added added;
	uint32_t next = 0;
	int r;

	/* Most files have nothing else. */
	if (plan->has_pairs && node->n_xattrs == 0 && plan_is_pooled(node)) {
		const struct plan_item pair = {
			.key = OVERLAY_METACOPY,
			.value = (const char *)node->digest->bytes,
			.size = sizeof(node->digest->bytes),
			.key_size = sizeof(OVERLAY_METACOPY) - 1,
			.index = IMAGE_TRUSTED,
			.lead = LEAD_PAIR,
		};

		append_item(plan, inode, &pair);
		return 0;
	}
	r = node->n_xattrs ? check_limits(node, err) : 0;
	if (r < 0)
		return r;
	added.n = 0;
	rewrite(plan, inode, &added);
	for (uint32_t i = 0; i < node->n_xattrs; i++) {
		const struct tree_xattr *xattr = &node->xattrs[i];
		bool escape =
			strncmp(xattr->key, OVERLAY_PREFIX, OVERLAY_PREFIX_SIZE) == 0;
		struct plan_item item = make_item(xattr->key, escape, LEAD_NONE,
						  xattr->value, xattr->size);
		int order = 1;

		while (next < added.n) {
			order = compare_keys(&item, &added.items[next]);
			if (order <= 0)
				break;
			append_item(plan, inode, &added.items[next++]);
		}
		if (order != 0)
			append_item(plan, inode, &item);
	}
	while (next < added.n)
		append_item(plan, inode, &added.items[next++]);
	return 0;
}

/* The root's own whiteouts have nothing but the root's SELinux label. */
static void add_label(struct image_plan *plan, struct plan_inode *inode)
{
	const struct tree_xattr *label =
		tree_find_xattr(plan->tree->root, "security.selinux");

	if (label) {
		struct plan_item item = make_item("security.selinux", false, LEAD_NONE,
						  label->value, label->size);

		append_item(plan, inode, &item);
	}
}

static bool items_are_equal(const struct plan_item *a, const struct plan_item *b)
{
	if (a->size != b->size || a->lead != b->lead || a->escaped != b->escaped ||
	    a->key_size != b->key_size)
		return false;
	if (a->key != b->key && memcmp(a->key, b->key, a->key_size) != 0)
		return false;
	return a->value == b->value || memcmp(a->value, b->value, a->size) == 0;
}

struct seen {
	uint32_t hash;
	uint32_t item;
};

/* Keys are few and often the same text at the same address: hash each run once. */
struct key_hash {
	const char *key;
	uint64_t hash;
};

static uint32_t hash_item(const struct plan_item *item, struct key_hash *last)
{
	uint64_t hash;

	if (item->key != last->key) {
		last->key = item->key;
		last->hash = XXH3_64bits(item->key, item->key_size);
	}
	hash = XXH3_64bits_withSeed(item->value, item->size, last->hash + item->lead);
	return (uint32_t)(hash >> 32) + item->escaped;
}

/* count_pairs() - @same and @count of every item */
static int count_pairs(struct image_plan *plan, struct cop_error *err)
{
	struct key_hash last[N_LEADS] = {};
	auto_free struct seen *seen = NULL;
	size_t n_slots = 64;

	while (n_slots < (size_t)plan->n_items + plan->n_items / 2)
		n_slots *= 2;
	seen = malloc(n_slots * sizeof(*seen));
	if (!seen)
		return err_oom(err);
	memset(seen, 0xff, n_slots * sizeof(*seen));

	for (uint32_t i = 0; i < plan->n_items; i++) {
		struct plan_item *item = &plan->items[i];
		uint32_t hash = hash_item(item, &last[item->lead]);
		size_t slot = hash & (n_slots - 1);

		for (; seen[slot].item != FREE_SLOT; slot = (slot + 1) & (n_slots - 1))
			if (seen[slot].hash == hash &&
			    items_are_equal(&plan->items[seen[slot].item], item))
				break;
		if (seen[slot].item == FREE_SLOT)
			seen[slot] = (struct seen){.hash = hash, .item = i};
		item->same = seen[slot].item;
		plan->items[item->same].count++;
	}
	return 0;
}

/* The order of the shared table: descending by key, size and bytes of the value. */
static int compare_shared(const void *a, const void *b, void *data)
{
	const struct image_plan *plan = data;
	const struct plan_shared *shared_a = a, *shared_b = b;
	struct plan_item item_a =
		plan_part(&plan->items[shared_a->item], shared_a->is_redirect);
	struct plan_item item_b =
		plan_part(&plan->items[shared_b->item], shared_b->is_redirect);
	int order = compare_keys(&item_b, &item_a);

	if (order != 0)
		return order;
	/* One key has one lead, but for the empty metacopy, which is shorter anyway. */
	if (item_a.size != item_b.size)
		return item_a.size < item_b.size ? 1 : -1;
	return memcmp(item_b.value, item_a.value, item_a.size);
}

static int collect_shared(struct image_plan *plan, struct cop_error *err)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < plan->n_items; i++)
		if (plan->items[i].count > 1)
			n += plan_n_entries(&plan->items[i]);
	plan->shared = malloc((n + 1) * sizeof(*plan->shared));
	if (!plan->shared)
		return err_oom(err);
	for (uint32_t i = 0; i < plan->n_items; i++)
		for (uint32_t k = 0;
		     plan->items[i].count > 1 && k < plan_n_entries(&plan->items[i]); k++)
			plan->shared[plan->n_shared++] =
				(struct plan_shared){.item = i, .is_redirect = k > 0};
	qsort_r(plan->shared, plan->n_shared, sizeof(*plan->shared), compare_shared,
		plan);
	return 0;
}

/* How much room the xattrs of an inode take behind it. */
static void measure(struct image_plan *plan, struct plan_inode *inode)
{
	const struct plan_item *items = &plan->items[inode->first_item];
	uint64_t size = XATTRS_HEAD;

	if (inode->n_items == 0)
		return;
	for (uint32_t i = 0; i < inode->n_items; i++) {
		uint32_t n = plan_n_entries(&items[i]);

		if (plan->items[items[i].same].count > 1 &&
		    inode->n_shared + n <= XATTRS_SHARED_MAX) {
			inode->n_shared = (uint8_t)(inode->n_shared + n);
			size += 4 * n;
		} else {
			size += plan_item_size(&items[i]);
		}
	}
	/* check_limits() keeps this far below the 65535 words that can be counted. */
	assert((size - XATTRS_HEAD) / 4 + 1 <= UINT16_MAX);
	inode->xattr_size = (uint32_t)size;
}

static uint32_t trusted_bit(const char *key)
{
	const char *name = IMAGE_TRUSTED_NAME(key);

	return image_filter_bit(IMAGE_TRUSTED, name, strlen(name));
}

int image_plan_xattrs(struct image_plan *plan, struct cop_error *err)
{
	int r = 0;

	plan->lead_bits[LEAD_METACOPY] = trusted_bit(OVERLAY_METACOPY);
	plan->lead_bits[LEAD_REDIRECT] = trusted_bit(OVERLAY_REDIRECT);
	plan->lead_bits[LEAD_PAYLOAD] = plan->lead_bits[LEAD_REDIRECT];
	plan->lead_bits[LEAD_PAIR] =
		plan->lead_bits[LEAD_METACOPY] | plan->lead_bits[LEAD_REDIRECT];
	if (plan->n_items_max >= FREE_SLOT)
		return err_set(err, -EFBIG, "write image: the tree has too many xattrs");
	plan->items = malloc((size_t)(plan->n_items_max + 1) * sizeof(*plan->items));
	if (!plan->has_pairs)
		plan->texts = malloc((size_t)plan->n_inodes * TREE_PAYLOAD_SIZE);
	if (!plan->items || (!plan->has_pairs && !plan->texts))
		return err_oom(err);
	plan->next_text = plan->texts;
	for (uint32_t i = 0; i < plan->n_inodes; i++) {
		struct plan_inode *inode = &plan->inodes[i];

		inode->first_item = plan->n_items;
		if (inode->node)
			r = add_items(plan, inode, err);
		else
			add_label(plan, inode);
		if (r < 0)
			return r;
	}
	r = count_pairs(plan, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < plan->n_inodes; i++)
		measure(plan, &plan->inodes[i]);
	return collect_shared(plan, err);
}
