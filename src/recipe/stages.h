/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that write manifests share. */
#pragma once

#include "recipe/model.h"
#include "json/json.h"

/* stages_add() - append a stage; @inputs and @options are taken over, @inputs may be NULL
 * for none; a NULL @options means that memory is out */
int stages_add(json_t *stages, const char *type, json_t *inputs, json_t *options,
	       struct cop_error *err);

/* stages_add_files() - write @files, if there are any */
int stages_add_files(json_t *stages, const struct recipe_file *files, size_t n_files,
		     struct cop_error *err);

/* stages_add_secrets() - write what is given to the build by name, if anything is */
int stages_add_secrets(json_t *stages, const struct recipe *recipe,
		       struct cop_error *err);

/* stages_add_owner() - who owns what @json describes: names where there are some */
void stages_add_owner(json_t *json, uint32_t user, const char *user_name, uint32_t group,
		      const char *group_name);

/* stages_tree_input() - the tree of pipeline @pipeline as the input @name; NULL when
 * memory is out */
json_t *stages_tree_input(const char *name, const char *pipeline);
