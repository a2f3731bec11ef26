/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of manifests; what modules decide is left open.  A pipeline's name is not
 * looked at here: osbuild's schema has a slip there, and its reader ends without a
 * validation result.  The alternatives of references are shown to people as they are.
 */
#include "engine/format-schema.h"

#include <string.h>

static const char schema_2[] =
	"{'type': 'object', 'additionalProperties': false, 'required': ['version'],"
	" 'properties': {"
	"  'pipelines': {'type': 'array', 'items': {'$ref': '#/definitions/pipeline'}},"
	"  'sources': {'type': 'object',"
	"   'additionalProperties': {'$ref': '#/definitions/source'}},"
	"  'version': {'enum': ['2']},"
	"  'metadata': {'$ref': '#/definitions/metadata'}},"
	" 'definitions': {"
	"  'metadata': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'exports': {'type': 'array', 'items': {'type': 'object',"
	"    'additionalProperties': false, 'required': ['name'],"
	"    'properties': {'name': {'type': 'string'}}}},"
	"   'generators': {'type': 'array', 'items': {'type': 'object',"
	"    'additionalProperties': false, 'required': ['name'],"
	"    'properties': {'name': {'type': 'string'},"
	"     'version': {'type': 'string'}}}}}},"
	"  'pipeline': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'name': {}, 'build': {'type': 'string'},"
	"   'runner': {'type': 'string'}, 'source-epoch': {'type': 'integer'},"
	"   'stages': {'type': 'array', 'items': {'$ref': '#/definitions/stage'}}}},"
	"  'stage': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'type': {'type': 'string'},"
	"   'devices': {'additionalProperties': {'$ref': '#/definitions/device'}},"
	"   'inputs': {'additionalProperties': false,"
	"    'patternProperties': {'^[a-zA-Z][a-zA-Z0-9_\\\\-\\\\.]{0,254}':"
	"     {'$ref': '#/definitions/input'}}},"
	"   'mounts': {'type': 'array', 'items': {'$ref': '#/definitions/mount'}},"
	"   'options': {'type': 'object'}},"
	"   'required': ['type']},"
	"  'device': {'additionalProperties': false, 'required': ['type'], 'properties': {"
	"   'type': {'type': 'string'}, 'parent': {'type': 'string'},"
	"   'options': {'type': 'object'}}},"
	"  'input': {'additionalProperties': false,"
	"   'required': ['type', 'origin', 'references'], 'properties': {"
	"   'type': {'type': 'string'},"
	"   'origin': {'enum': ['org.osbuild.source', 'org.osbuild.pipeline']},"
	"   'references': {'$ref': '#/definitions/references'},"
	"   'options': {'type': 'object'}}},"
	"  'mount': {'additionalProperties': false, 'required': ['name', 'type'],"
	"   'properties': {"
	"   'name': {'type': 'string'}, 'type': {'type': 'string'},"
	"   'source': {'type': 'string'}, 'target': {'type': 'string'},"
	"   'partition': {'type': 'number'}, 'options': {'type': 'object'}}},"
	"  'source': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'items': {'$ref': '#/definitions/references'},"
	"   'options': {'type': 'object'}},"
	"   'required': ['items']},"
	"  'references': {'oneOf': ["
	"   {'type': 'array', 'items': {'type': 'string'}},"
	"   {'type': 'object', 'additionalProperties': true},"
	"   {'type': 'array', 'items': {'type': 'object', 'required': ['id'],"
	"    'additionalProperties': false, 'properties': {'id': {'type': 'string'},"
	"     'options': {'type': 'object', 'additionalProperties': true}}}}]}}}";

/* A build of 2020 need not have a pipeline. */
static const char schema_1[] =
	"{'type': 'object', 'additionalProperties': false, 'properties': {"
	"  'pipeline': {'$ref': '#/definitions/pipeline'},"
	"  'sources': {'type': 'object', 'additionalProperties': {'type': 'object'}}},"
	" 'definitions': {"
	"  'pipeline': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'assembler': {'$ref': '#/definitions/stage'},"
	"   'build': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"     'pipeline': {'$ref': '#/definitions/pipeline'},"
	"     'runner': {'type': 'string'}},"
	"    'required': ['runner']},"
	"   'stages': {'type': 'array', 'items': {'$ref': '#/definitions/stage'}}}},"
	"  'stage': {'type': 'object', 'additionalProperties': false, 'properties': {"
	"   'name': {'type': 'string'}, 'options': {'type': 'object'}},"
	"   'required': ['name']}}}";

int format_schema(unsigned int version, struct schema **ret_schema, struct cop_error *err)
{
	auto_free char *text = strdup(version == 1 ? schema_1 : schema_2);
	auto_json *json = NULL;
	int r;

	if (!text)
		return err_oom(err);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	r = json_read(text, strlen(text), &json, err);
	if (r == 0)
		r = schema_new(json, "manifest", ret_schema, err);
	return r < 0 ? err_prefix(err, r, "schema of manifests") : 0;
}
