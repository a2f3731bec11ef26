/* SPDX-License-Identifier: Apache-2.0 */
#include "recipe/sbom.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "recipe/index.h"
#include "recipe/model.h"
#include "json/json.h"

#define NAMESPACE "https://spdx.org/spdxdocs/coppice-tree-"
#define DOCUMENT  "SPDXRef-DOCUMENT"
#define TREE	  "SPDXRef-Tree"
#define NOTHING	  "NOASSERTION"

struct sbom {
	const struct sbom_tree *tree;
	struct buf vendor, codename, version; /* of os-release */
	json_t *packages, *relationships;
};

static void sbom_done(struct sbom *sbom)
{
	buf_done(&sbom->vendor);
	buf_done(&sbom->codename);
	buf_done(&sbom->version);
	json_decref(sbom->packages);
	json_decref(sbom->relationships);
}

/* KEY=value or KEY="value" of os-release. */
static void read_release(const char *text, const char *key, struct buf *value)
{
	const size_t size = strlen(key);

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *at = text + size + 1;

		if (strncmp(text, key, size) != 0 || text[size] != '=')
			continue;
		at += *at == '"' || *at == '\'';
		buf_truncate(value, 0);
		(void)buf_append(value, at, strcspn(at, "\"'\n"));
	}
}

/* --- one package --- */

struct package {
	struct buf name, version, architecture, maintainer, homepage, description, source;
	char id[300]; /* of SPDX */
};

static void package_done(struct package *package)
{
	buf_done(&package->name);
	buf_done(&package->version);
	buf_done(&package->architecture);
	buf_done(&package->maintainer);
	buf_done(&package->homepage);
	buf_done(&package->description);
	buf_done(&package->source);
}

/* Return: 0; -ENOENT for what is not installed; -EBADMSG. */
static int read_package(const struct index_entry *entry, struct package *package,
			struct cop_error *err)
{
	const struct {
		const char *field;
		struct buf *value;
		bool is_needed;
	} fields[] = {
		{"Package", &package->name, true},
		{"Version", &package->version, true},
		{"Architecture", &package->architecture, true},
		{"Maintainer", &package->maintainer, false},
		{"Homepage", &package->homepage, false},
		{"Description", &package->description, false},
		{"Source", &package->source, false},
	};
	auto_buf status = {};
	int r = index_field(entry, "Status", &status);

	if (r == -ENOMEM)
		return err_oom(err);
	if (!text_ends_with(buf_text(&status), " installed"))
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		r = index_field(entry, fields[i].field, fields[i].value);
		if (r == -ENOENT && fields[i].is_needed)
			return err_set(err, -EBADMSG,
				       "dpkg's database: package '%s' without a %s",
				       buf_text(&package->name), fields[i].field);
		if (r == -ENOMEM)
			return err_oom(err);
	}
	return 0;
}

/* Letters, digits, '.' and '-' only; '+' and the like by their number. */
static void make_id(struct package *package)
{
	auto_buf id = {};
	const char *const parts[] = {buf_text(&package->name), "-",
				     buf_text(&package->architecture)};

	(void)buf_append_text(&id, "SPDXRef-Package-");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (const char *c = parts[i]; *c; c++)
			if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9') || *c == '-' || *c == '.')
				(void)buf_append_char(&id, *c);
			else
				(void)buf_printf(&id, ".%02x", (unsigned char)*c);
	(void)snprintf(package->id, sizeof(package->id), "%s", buf_text(&id));
}

/* As package URLs have it: '%XX' for what is not unreserved or ':'. */
static void append_quoted(struct buf *buf, const char *text)
{
	for (; *text; text++)
		if ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		    (*text >= '0' && *text <= '9') || strchr("-._~:", *text))
			(void)buf_append_char(buf, *text);
		else
			(void)buf_printf(buf, "%%%02X", (unsigned char)*text);
}

static json_t *package_url(const struct sbom *sbom, const struct package *package)
{
	auto_buf url = {};

	(void)buf_append_text(&url, "pkg:deb/");
	append_quoted(&url, buf_text(&sbom->vendor));
	(void)buf_append_char(&url, '/');
	append_quoted(&url, buf_text(&package->name));
	(void)buf_append_char(&url, '@');
	append_quoted(&url, buf_text(&package->version));
	(void)buf_append_text(&url, "?arch=");
	append_quoted(&url, buf_text(&package->architecture));
	if (sbom->codename.size > 0) {
		(void)buf_append_text(&url, "&distro=");
		append_quoted(&url, sbom->codename.data);
	}
	return url.failed ? NULL : json_string(url.data);
}

/* Many maintainers are teams: their addresses are lists, or their names say so. */
static json_t *supplier(const struct package *package)
{
	static const char *const signs[] = {"lists.",
					    "packages.debian.org",
					    "tracker.debian.org",
					    "Team",
					    "Maintainers",
					    "Group",
					    "Developers",
					    "Project"};
	const char *text = buf_text(&package->maintainer), *open = strrchr(text, '<');
	const char *kind = "Person";
	auto_buf value = {};
	size_t size = open ? (size_t)(open - text) : strlen(text);

	if (!*text)
		return json_string(NOTHING);
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (strstr(text, signs[i]))
			kind = "Organization";
	while (size > 0 && text[size - 1] == ' ')
		size--;
	(void)buf_printf(&value, "%s: %.*s", kind, (int)size, text);
	if (open)
		(void)buf_printf(&value, " (%.*s)", (int)strcspn(open + 1, ">"),
				 open + 1);
	return value.failed ? NULL : json_string(value.data);
}

static const char *checksum(const struct sbom *sbom, const struct package *package)
{
	const struct lock *lock = sbom->tree->lock;

	for (size_t i = 0; lock && i < lock->n_packages; i++) {
		const struct lock_package *locked = &lock->packages[i];

		if (strcmp(locked->name, buf_text(&package->name)) == 0 &&
		    strcmp(locked->version, buf_text(&package->version)) == 0 &&
		    strcmp(locked->architecture, buf_text(&package->architecture)) == 0)
			return locked->sha256;
	}
	return NULL;
}

static int find_license(const struct sbom *sbom, const struct package *package,
			const char **ret_license, struct cop_error *err)
{
	struct cop_error why = {};
	auto_buf text = {};
	int r = sbom->tree->copyright(sbom->tree->data, buf_text(&package->name), &text,
				      &why);

	if (r < 0 && r != -ENOENT)
		return err_copy(err, &why);
	*ret_license = r == 0 ? sbom_license(buf_text(&text)) : NULL;
	return 0;
}

static int put_extras(const struct sbom *sbom, const struct package *package,
		      json_t *json)
{
	const char *sha256 = checksum(sbom, package);
	auto_buf source = {};
	int r = 0;

	if (sha256)
		r = json_object_set_new(json, "checksums",
					json_pack("[{s:s, s:s}]", "algorithm", "SHA256",
						  "checksumValue", sha256));
	if (r == 0 && (text_starts_with(buf_text(&package->homepage), "http://") ||
		       text_starts_with(buf_text(&package->homepage), "https://")))
		r = json_object_set_new(json, "homepage",
					json_string(package->homepage.data));
	if (r == 0 && package->description.size > 0)
		r = json_object_set_new(json, "summary",
					json_string(package->description.data));
	if (r == 0 && package->source.size > 0)
		r = buf_printf(&source, "built from source package %s",
			       package->source.data) < 0
			    ? -ENOMEM
			    : json_object_set_new(json, "sourceInfo",
						  json_string(source.data));
	return r;
}

static int add_package(struct sbom *sbom, struct package *package, struct cop_error *err)
{
	const char *license = NULL;
	json_t *json;
	int r = find_license(sbom, package, &license, err);

	if (r < 0)
		return r;
	make_id(package);
	json = json_pack(
		"{s:s, s:s, s:s, s:o, s:s, s:b, s:s, s:s, s:s, s:[{s:s, s:s, "
		"s:o}]}",
		"SPDXID", package->id, "name", buf_text(&package->name), "versionInfo",
		buf_text(&package->version), "supplier", supplier(package),
		"downloadLocation", NOTHING, "filesAnalyzed", 0, "licenseConcluded",
		NOTHING, "licenseDeclared", license ? license : NOTHING, "copyrightText",
		NOTHING, "externalRefs", "referenceCategory", "PACKAGE-MANAGER",
		"referenceType", "purl", "referenceLocator", package_url(sbom, package));
	if (json_array_append_new(sbom->packages, json) < 0 ||
	    put_extras(sbom, package, json) < 0 ||
	    json_array_append_new(sbom->relationships,
				  json_pack("{s:s, s:s, s:s}", "spdxElementId", TREE,
					    "relationshipType", "CONTAINS",
					    "relatedSpdxElement", package->id)) < 0)
		return err_set(err, -EBADMSG, "package '%s': its fields are not UTF-8",
			       buf_text(&package->name));
	return 0;
}

/* --- the whole --- */

static int compare(const void *a, const void *b)
{
	const struct index_entry *left = a, *right = b;
	auto_buf name = {}, other = {};

	(void)index_field(left, "Package", &name);
	(void)buf_append_char(&name, ' ');
	(void)index_field(left, "Architecture", &name);
	(void)index_field(right, "Package", &other);
	(void)buf_append_char(&other, ' ');
	(void)index_field(right, "Architecture", &other);
	return strcmp(buf_text(&name), buf_text(&other));
}

/* Goes to the next stanza.  Return: its size; 0: there is none. */
static size_t next_stanza(const char **text)
{
	const char *end;

	*text += strspn(*text, "\n");
	end = strstr(*text, "\n\n");
	return end ? (size_t)(end - *text) : strlen(*text);
}

/* The stanzas of the database, sorted. */
static int split_status(const char *text, struct index_entry **ret_entries, size_t *ret_n,
			struct cop_error *err)
{
	struct index_entry *entries;
	const char *at = text;
	size_t size, n = 0;

	for (; (size = next_stanza(&at)) > 0; at += size)
		n++;
	entries = calloc(n + 1, sizeof(*entries));
	if (!entries)
		return err_oom(err);
	n = 0;
	for (at = text; (size = next_stanza(&at)) > 0; at += size)
		entries[n++] = (struct index_entry){.stanza = at, .size = size};
	qsort(entries, n, sizeof(*entries), compare);
	*ret_entries = entries;
	*ret_n = n;
	return 0;
}

static int add_packages(struct sbom *sbom, struct cop_error *err)
{
	auto_free struct index_entry *entries = NULL;
	size_t n = 0;
	int r = split_status(sbom->tree->status, &entries, &n, err);

	for (size_t i = 0; i < n && r == 0; i++) {
		cleanup_with(package_done) struct package package = {};

		r = read_package(&entries[i], &package, err);
		if (r == 0)
			r = add_package(sbom, &package, err);
		else if (r == -ENOENT)
			r = 0;
	}
	return r;
}

static int add_tree(struct sbom *sbom, struct cop_error *err)
{
	json_t *tree =
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "SPDXID", TREE,
			  "name", buf_text(&sbom->vendor), "downloadLocation", NOTHING,
			  "supplier", NOTHING, "filesAnalyzed", 0, "licenseConcluded",
			  NOTHING, "licenseDeclared", NOTHING, "copyrightText", NOTHING,
			  "primaryPackagePurpose", "OPERATING-SYSTEM");

	if (tree && sbom->version.size > 0)
		(void)json_object_set_new(tree, "versionInfo",
					  json_string(sbom->version.data));
	if (json_array_append_new(sbom->packages, tree) < 0 ||
	    json_array_append_new(sbom->relationships,
				  json_pack("{s:s, s:s, s:s}", "spdxElementId", DOCUMENT,
					    "relationshipType", "DESCRIBES",
					    "relatedSpdxElement", TREE)) < 0)
		return err_set(err, -EBADMSG, "etc/os-release is not UTF-8");
	return 0;
}

/* Another document for another lock, as checksums come from there. */
static int make_namespace(const struct sbom_tree *tree, struct buf *text,
			  struct cop_error *err)
{
	char hex[SHA256_HEX + 1];
	auto_buf lock = {};
	int r = 0;

	(void)buf_printf(text, NAMESPACE "%s", tree->digest);
	if (tree->lock)
		r = lock_format(tree->lock, &lock, err);
	if (r == 0 && tree->lock)
		r = sha256_bytes(lock.data, lock.size, hex, err);
	if (r == 0 && tree->lock)
		(void)buf_printf(text, "-%s", hex);
	return text->failed ? err_oom(err) : r;
}

static int write_document(struct sbom *sbom, json_t **ret_json, struct cop_error *err)
{
	const struct sbom_tree *tree = sbom->tree;
	const time_t created = (time_t)tree->created;
	auto_buf namespace = {}, name = {};
	char when[32] = "";
	struct tm utc;
	json_t *json;
	int r = make_namespace(tree, &namespace, err);

	if (r < 0)
		return r;
	(void)buf_printf(&name, "tree-%.12s", tree->digest);
	if (!gmtime_r(&created, &utc) ||
	    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		return err_set(err, -ERANGE, "the newest time in the tree is no date");
	json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s, s:[s]}, s:O, s:O}",
			 "spdxVersion", "SPDX-2.3", "dataLicense", "CC0-1.0", "SPDXID",
			 DOCUMENT, "name", buf_text(&name), "documentNamespace",
			 namespace.data, "creationInfo", "created", when, "creators",
			 "Tool: coppice-" COP_VERSION, "packages", sbom->packages,
			 "relationships", sbom->relationships);
	if (!json)
		return err_oom(err);
	*ret_json = json;
	return 0;
}

int sbom_make(const struct sbom_tree *tree, json_t **ret_json, struct cop_error *err)
{
	cleanup_with(sbom_done) struct sbom sbom = {
		.tree = tree,
		.packages = json_array(),
		.relationships = json_array(),
	};
	int r;

	if (!sbom.packages || !sbom.relationships)
		return err_oom(err);
	(void)buf_append_text(&sbom.vendor, "debian");
	read_release(tree->os_release, "ID", &sbom.vendor);
	read_release(tree->os_release, "VERSION_CODENAME", &sbom.codename);
	read_release(tree->os_release, "VERSION_ID", &sbom.version);
	r = add_tree(&sbom, err);
	if (r == 0)
		r = add_packages(&sbom, err);
	return r < 0 ? r : write_document(&sbom, ret_json, err);
}
