/* SPDX-License-Identifier: Apache-2.0 */
#include "modules/stages/partitions.h"

#include <string.h>

#include "modkit/options.h"
#include "modkit/tool.h"
#include "json/json.h"

#define PACKAGE "fdisk"
/* No table has more. */
#define PARTITIONS_MAX 128

void partitions_done(struct partition_table *table)
{
	free(table->partitions);
	*table = (struct partition_table){};
}

static int check(struct kit *kit, const struct partition *partition)
{
	const char *const texts[] = {partition->type, partition->name, partition->uuid};
	int r = 0;

	/* Each stands between quotes in one line. */
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = options_one_line(texts[i], "partitions", "\"", kit->err);
	if (r == 0 && (partition->start_sectors < 0 || partition->size_sectors < 0 ||
		       partition->number < 0))
		r = err_set(kit->err, -EINVAL,
			    "partitions: start, size and partnum cannot be negative");
	return r;
}

int partitions_read(struct kit *kit, const json_t *array, struct partition_table *table)
{
	size_t n = json_array_size(array);
	int r = 0;

	if (n > PARTITIONS_MAX)
		return err_set(kit->err, -EINVAL, "%zu partitions are more than %d", n,
			       PARTITIONS_MAX);
	table->partitions = calloc(n + 1, sizeof(*table->partitions));
	if (!table->partitions)
		return err_oom(kit->err);
	table->n = n;
	for (size_t i = 0; i < n && r == 0; i++) {
		struct partition *partition = &table->partitions[i];
		const struct option options[] = {
			OPTION_TEXT("type", partition->type),
			OPTION_TEXT("name", partition->name),
			OPTION_TEXT("uuid", partition->uuid),
			OPTION_INTEGER("partnum", partition->number),
			OPTION_INTEGER("start", partition->start_sectors),
			OPTION_INTEGER("size", partition->size_sectors),
			OPTION_FLAG("bootable", partition->bootable),
			OPTION_ARRAY("attrs", partition->attributes)};

		partition->type = partition->name = partition->uuid = "";
		r = options_read(json_array_get(array, i), "partitions", options,
				 ARRAY_SIZE(options), kit->err);
		if (r == 0)
			r = check(kit, partition);
	}
	return r;
}

static void add_attributes(const json_t *attributes, struct buf *line)
{
	static const char *const names[] = {"RequiredPartition", "NoBlockIOProtocol",
					    "LegacyBIOSBootable"};
	const char *before = ", attrs=\"";
	const json_t *value;
	size_t i;

	json_array_foreach (attributes, i, value) {
		json_int_t bit = json_integer_value(value);

		if (bit >= 0 && bit < (json_int_t)ARRAY_SIZE(names))
			(void)buf_printf(line, "%s%s", before, names[bit]);
		else if (bit >= 48 && bit <= 63)
			(void)buf_printf(line, "%s%d", before, (int)bit);
		else
			continue;
		before = ",";
	}
	if (*before == ',' && before[1] == '\0')
		(void)buf_append_char(line, '"');
}

static void add_text(const char *key, const char *value, struct buf *line)
{
	if (*value)
		(void)buf_printf(line, ", %s=\"%s\"", key, value);
}

static void add_number(const char *key, int64_t value, struct buf *line)
{
	if (value > 0)
		(void)buf_printf(line, ", %s=%lld", key, (long long)value);
}

static void add_partition(struct kit *kit, const struct partition_table *table, size_t i,
			  const char *device, struct buf *script)
{
	const struct partition *partition = &table->partitions[i];
	char made_up[KIT_UUID_SIZE];
	const char *uuid = partition->uuid;
	auto_buf line = {};

	/* sfdisk would roll dice. */
	if (!*uuid && strcmp(table->label, "gpt") == 0)
		uuid = kit_uuid(kit, (unsigned int)i + 1, made_up);
	add_number("start", partition->start_sectors, &line);
	add_number("size", partition->size_sectors, &line);
	add_text("type", partition->type, &line);
	add_text("name", partition->name, &line);
	add_text("uuid", uuid, &line);
	add_attributes(partition->attributes, &line);
	if (partition->bootable)
		(void)buf_append_text(&line, ", bootable");
	(void)buf_append_char(script, '\n');
	if (partition->number > 0)
		(void)buf_printf(script, "%sp%lld: ", device,
				 (long long)partition->number);
	/* Without the first ", ". */
	(void)buf_append_text(script, line.size > 2 ? line.data + 2 : "-");
	if (line.failed)
		script->failed = true;
}

/* Where a partition without a place has come to lie. */
static int take_places(struct kit *kit, const json_t *found,
		       struct partition_table *table)
{
	if (json_array_size(found) != table->n)
		return err_set(kit->err, -EIO,
			       "sfdisk made %zu partitions of the %zu that were asked "
			       "for",
			       json_array_size(found), table->n);
	for (size_t i = 0; i < table->n; i++) {
		struct partition *partition = &table->partitions[i];
		const struct option options[] = {
			NEEDED_INTEGER("start", partition->start_sectors),
			NEEDED_INTEGER("size", partition->size_sectors)};
		int r = options_read(json_array_get(found, i), "sfdisk's partitions",
				     options, ARRAY_SIZE(options), kit->err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_back(struct kit *kit, struct partition_table *table, const char *device)
{
	const char *argv[] = {"sfdisk", "--json", device, NULL};
	auto_buf text = {};
	auto_json *json = NULL;
	json_t *found = NULL, *made = NULL;
	int r = tool_run(kit, &(struct tool){
				      .argv = argv,
				      .package = PACKAGE,
				      .output = &text,
			      });

	if (r == 0)
		r = json_read(buf_text(&text), text.size, &json, kit->err);
	if (r == 0)
		r = json_get_object(json, "partitiontable", "sfdisk", &found, kit->err);
	if (r == 0)
		r = json_optional_array(found, "partitions", "sfdisk", &made, kit->err);
	if (r < 0)
		return r;
	kit_log("%s", buf_text(&text));
	return take_places(kit, made, table);
}

int partitions_write(struct kit *kit, struct partition_table *table, const char *device)
{
	const char *argv[] = {"sfdisk", "-q", "--no-tell-kernel", device, NULL};
	const bool is_dos =
		strcmp(table->label, "dos") == 0 || strcmp(table->label, "mbr") == 0;
	auto_buf script = {};
	int r = options_one_line(table->uuid, "uuid", "\"", kit->err);

	if (r < 0)
		return r;
	if (!is_dos && strcmp(table->label, "gpt") != 0)
		return err_set(kit->err, -EINVAL,
			       "partition table '%s' is none of 'gpt', 'dos' and 'mbr'",
			       table->label);
	(void)buf_printf(&script, "label: %s\nlabel-id: %s", is_dos ? "dos" : "gpt",
			 table->uuid);
	for (size_t i = 0; i < table->n; i++)
		add_partition(kit, table, i, device, &script);
	(void)buf_append_char(&script, '\n');
	if (script.failed)
		return err_oom(kit->err);
	kit_log("%s", script.data);
	r = tool_run(kit, &(struct tool){
				  .argv = argv,
				  .package = PACKAGE,
				  .input = script.data,
			  });
	return r == 0 ? read_back(kit, table, device) : r;
}
