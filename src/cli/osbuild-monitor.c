/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What osbuild tells of a run while it goes on: LogMonitor for people, JSONSeqMonitor for
 * programs (RFC 7464), field for field, and the record that becomes the result.
 */
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/monotonic.h"
#include "cli/osbuild.h"
#include "json/json.h"
#include "json/value.h"

/* A stage's result has no more of its output, in bytes, nor a source's, as JSON. */
#define OUTPUT_MAX 31000

enum kind {
	KIND_NULL,
	KIND_LOG,
	KIND_JSON_SEQ,
};

struct progress {
	const char *pipeline; /* NULL: no pipeline goes on */
	size_t total, done;
};

struct osbuild_monitor {
	enum kind kind;
	int fd, failed;
	bool fd_is_terminal, colour;
	const char *manifest;
	struct osbuild_record *record;
	struct buf text; /* of the next write */

	/* JSONSeqMonitor: who speaks of what */
	json_t *context;     /* without origin */
	json_t *known;	     /* contexts that were shown in full, by id */
	size_t total, done;  /* sources and pipelines */
	struct progress sub; /* of the pipeline that goes on */
	json_t *options;     /* of the last stage */
	bool has_started;    /* a stage has */
	double start;
};

static void flush_text(struct osbuild_monitor *monitor)
{
	int r = monitor->text.failed ? -ENOMEM : 0;

	if (r == 0 && monitor->failed == 0)
		r = fs_write_all(monitor->fd, monitor->text.data, monitor->text.size);
	if (monitor->failed == 0)
		monitor->failed = r;
	monitor->text.failed = false;
	buf_truncate(&monitor->text, 0);
}

static void write_text(struct osbuild_monitor *monitor, const char *text)
{
	(void)buf_append_text(&monitor->text, text);
	flush_text(monitor);
}

/* Bytes of programs as the text that JSON can hold. */
static json_t *text_of(const char *bytes, size_t size)
{
	auto_buf clean = {};
	json_t *json = json_stringn(bytes, size);

	if (json && strlen(json_string_value(json)) == size)
		return json;
	json_decref(json);
	for (size_t i = 0; i < size;) {
		size_t length = 1;
		unsigned char c = (unsigned char)bytes[i];

		/* Whole characters are taken as they are; what is none is U+FFFD. */
		length += c >= 0xc0 && i + 1 < size;
		length += c >= 0xe0 && i + 2 < size;
		length += c >= 0xf0 && i + 3 < size;
		json = c ? json_stringn(bytes + i, length) : NULL;
		if (json)
			(void)buf_append(&clean, bytes + i, length);
		else
			(void)buf_append_text(&clean, "\xef\xbf\xbd");
		i += json ? length : 1;
		json_decref(json);
	}
	return clean.failed ? NULL : json_stringn(buf_text(&clean), clean.size);
}

/* As osbuild drops what is null or empty text, in objects within objects too. */
static void drop_empty(json_t *object)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(object, next, key, value)
	{
		if (json_is_null(value) ||
		    (json_is_string(value) && json_string_length(value) == 0))
			(void)json_object_del(object, key);
		else if (json_is_object(value))
			drop_empty(value);
	}
}

static const char *hash_context(json_t *context, char id[SHA256_HEX + 1])
{
	auto_buf text = {};

	if (json_canonical(context, &text, NULL) < 0 ||
	    sha256_bytes(text.data, text.size, id, NULL) < 0)
		return NULL;
	return id;
}

/* In full the first time, later by its id alone. */
static json_t *describe_context(struct osbuild_monitor *monitor, const char *origin)
{
	auto_json *context =
		json_pack("{s:s, s:O}", "origin", origin, "pipeline", monitor->context);
	char id[SHA256_HEX + 1];

	if (!context || !hash_context(context, id))
		return NULL;
	if (json_object_get(monitor->known, id))
		return json_pack("{s:s}", "id", id);
	(void)json_object_set_new(monitor->known, id, json_null());
	(void)json_object_set_new(context, "id", json_string(id));
	return json_deep_copy(context);
}

static json_t *describe_progress(const struct osbuild_monitor *monitor)
{
	json_t *progress =
		json_pack("{s:s, s:I, s:I}", "name", "pipelines/sources", "total",
			  (json_int_t)monitor->total, "done", (json_int_t)monitor->done);

	if (monitor->sub.pipeline)
		(void)json_object_set_new(
			progress, "progress",
			json_pack("{s:s+, s:I, s:I}", "name",
				  "pipeline: ", monitor->sub.pipeline, "total",
				  (json_int_t)monitor->sub.total, "done",
				  (json_int_t)monitor->sub.done));
	return progress;
}

/* One record; @message, @result, @options and @metadata are used up and may be NULL. */
struct entry {
	json_t *message, *result, *options, *metadata;
	const char *origin;
	bool has_duration;
};

static void write_entry(struct osbuild_monitor *monitor, const struct entry *entry)
{
	auto_json *json = json_object();
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)json_object_set_new(json, "message", entry->message);
	(void)json_object_set_new(json, "result", entry->result);
	(void)json_object_set_new(json, "context",
				  describe_context(monitor, entry->origin));
	(void)json_object_set_new(json, "progress", describe_progress(monitor));
	if (json_object_size(entry->options) > 0)
		(void)json_object_set(json, "options", entry->options);
	json_decref(entry->options);
	(void)json_object_set_new(
		json, "timestamp",
		json_real((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	if (entry->has_duration)
		(void)json_object_set_new(
			json, "duration",
			json_real(monotonic_seconds() - monitor->start));
	if (json_truthy(entry->metadata))
		(void)json_object_set(json, "metadata", entry->metadata);
	json_decref(entry->metadata);
	drop_empty(json);
	(void)buf_append_char(&monitor->text, '\x1e');
	if (!json || json_write(json, 0, &monitor->text, NULL) < 0)
		monitor->text.failed = true;
	(void)buf_append_char(&monitor->text, '\n');
	flush_text(monitor);
}

static void log_message(struct osbuild_monitor *monitor, const char *origin,
			const char *bytes, size_t size)
{
	const struct entry entry = {.message = NULL, .origin = origin};
	struct entry full = entry;

	if (monitor->kind == KIND_LOG) {
		(void)buf_append(&monitor->text, bytes, size);
		flush_text(monitor);
	}
	if (monitor->kind != KIND_JSON_SEQ)
		return;
	full.message = text_of(bytes, size);
	write_entry(monitor, &full);
}

static void log_line(struct osbuild_monitor *monitor, const char *origin,
		     const char *format, const char *name)
{
	auto_buf text = {};

	(void)buf_append_text(&text, format);
	(void)buf_append_text(&text, name);
	log_message(monitor, origin, buf_text(&text), text.size);
}

void osbuild_monitor_log(struct osbuild_monitor *monitor, const char *text)
{
	log_message(monitor, "osbuild.main_cli", text, strlen(text));
}

/* Only JSONSeqMonitor says these. */
static void announce(struct osbuild_monitor *monitor, const char *what, const char *name)
{
	if (monitor->kind == KIND_JSON_SEQ)
		log_line(monitor, "osbuild.monitor", what, name);
}

static void append_title(struct osbuild_monitor *monitor, const char *format,
			 const char *name, const char *id)
{
	if (monitor->fd_is_terminal)
		(void)buf_append_text(&monitor->text,
				      monitor->colour ? "\033[0m\033[1m" : "");
	(void)buf_printf(&monitor->text, "%s%s: %s", format, name, id);
	if (monitor->fd_is_terminal)
		(void)buf_append_text(&monitor->text, monitor->colour ? "\033[0m" : "");
}

static void set_pipeline(struct osbuild_monitor *monitor, const char *name,
			 const char *id)
{
	json_t *stage = json_incref(json_object_get(monitor->context, "stage"));

	json_decref(monitor->context);
	monitor->context =
		json_pack("{s:s, s:s?, s:o}", "name", name, "id", id, "stage", stage);
}

static void set_stage(struct osbuild_monitor *monitor, const char *name, const char *id)
{
	json_t *context = json_copy(monitor->context);

	(void)json_object_set_new(context, "stage",
				  json_pack("{s:s, s:s}", "name", name, "id", id));
	json_decref(monitor->context);
	monitor->context = context;
}

static void on_plan(void *data, size_t n_sources, size_t n_pipelines)
{
	struct osbuild_monitor *monitor = data;

	monitor->total = n_sources + n_pipelines;
	log_line(monitor, "osbuild.main_cli", "starting ", monitor->manifest);
}

static const char *source_id(const struct manifest_source *source,
			     char id[SHA256_HEX + 1])
{
	auto_json *type = json_string(source->type), *none = json_object();
	auto_buf text = {};

	if (json_canonical(type, &text, NULL) < 0 ||
	    json_canonical(source->items ? source->items : none, &text, NULL) < 0 ||
	    sha256_bytes(text.data, text.size, id, NULL) < 0)
		return "";
	return id;
}

static void on_source_begin(void *data, const struct manifest_source *source)
{
	struct osbuild_monitor *monitor = data;
	char id[SHA256_HEX + 1];
	auto_buf name = {};

	(void)buf_printf(&name, "source %s", source->type);
	if (monitor->kind == KIND_LOG) {
		append_title(monitor, "Pipeline ", buf_text(&name),
			     source_id(source, id));
		write_text(monitor, "\nBuild\n  root: <host>\n");
	}
	if (monitor->kind != KIND_JSON_SEQ)
		return;
	set_pipeline(monitor, buf_text(&name), source_id(source, id));
	announce(monitor, "Starting pipeline ", buf_text(&name));
}

/* Of sources with very many items only the sum. */
static json_t *short_source_result(const json_t *result)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)result);
	auto_buf text = {};

	if (json_write(result, 0, &text, NULL) == 0 && text.size <= OUTPUT_MAX)
		return copy;
	(void)json_object_set_new(copy, "results", json_array());
	return copy;
}

static void on_source_end(void *data, const struct manifest_source *source,
			  const json_t *result)
{
	struct osbuild_monitor *monitor = data;
	auto_buf message = {};

	(void)json_object_set(monitor->record->sources, source->type,
			      (json_t *)(uintptr_t)result);
	if (!json_is_true(json_object_get(result, "success")))
		monitor->record->source_failed = true;
	if (monitor->kind != KIND_JSON_SEQ)
		return;
	(void)buf_printf(&message, "Finished module source %s", source->type);
	write_entry(monitor, &(struct entry){.message = json_string(buf_text(&message)),
					     .result = short_source_result(result),
					     .origin = "osbuild.monitor"});
	monitor->done++;
	announce(monitor, "Finished pipeline ", source->type);
}

static void log_pipeline(struct osbuild_monitor *monitor,
			 const struct manifest_pipeline *pipeline)
{
	const char *id = manifest_pipeline_last(pipeline);
	const struct module *runner = pipeline->runner.module;

	append_title(monitor, "Pipeline ", pipeline->name, id ? id : "None");
	(void)buf_printf(&monitor->text, "\nBuild\n  root: %s",
			 pipeline->build ? pipeline->build : "<host>");
	if (runner)
		(void)buf_printf(&monitor->text, "\n  runner: %s (%s)",
				 pipeline->runner.name, runner->name);
	if (pipeline->has_epoch) {
		time_t when = (time_t)pipeline->epoch;
		char text[64] = "";
		struct tm tm;

		if (localtime_r(&when, &tm))
			(void)strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
		(void)buf_printf(&monitor->text, "\n  source-epoch: %s [%lld]", text,
				 (long long)pipeline->epoch);
	}
	write_text(monitor, "\n");
}

static const char *record_key(const struct manifest_pipeline *pipeline)
{
	const char *id = manifest_pipeline_last(pipeline);

	return id ? id : "null";
}

static void on_pipeline_begin(void *data, const struct manifest_pipeline *pipeline)
{
	struct osbuild_monitor *monitor = data;

	(void)json_object_set_new(monitor->record->pipelines, record_key(pipeline),
				  json_pack("{s:b, s:[]}", "success", 1, "stages"));
	if (monitor->kind == KIND_LOG)
		log_pipeline(monitor, pipeline);
	if (monitor->kind != KIND_JSON_SEQ)
		return;
	set_pipeline(monitor, pipeline->name, manifest_pipeline_last(pipeline));
	if (pipeline->n_stages > 0)
		monitor->sub = (struct progress){pipeline->name, pipeline->n_stages, 0};
	announce(monitor, "Starting pipeline ", pipeline->name);
}

static void on_pipeline_end(void *data, const struct manifest_pipeline *pipeline)
{
	struct osbuild_monitor *monitor = data;

	monitor->done++;
	monitor->sub.pipeline = NULL;
	announce(monitor, "Finished pipeline ", pipeline->name);
}

static void on_stage_begin(void *data, const struct engine_stage_report *report)
{
	struct osbuild_monitor *monitor = data;
	auto_json *none = json_object();
	json_t *options = report->stage->options ? report->stage->options : none;

	monitor->has_started = true;
	if (monitor->kind == KIND_LOG) {
		append_title(monitor, "", report->type, report->id);
		(void)buf_append_char(&monitor->text, ' ');
		(void)json_write(options, 2, &monitor->text, NULL);
		write_text(monitor, "\n");
	} else if (monitor->kind == KIND_JSON_SEQ) {
		set_stage(monitor, report->type, report->id);
		json_decref(monitor->options);
		monitor->options = json_deep_copy(options);
		announce(monitor, "Starting module ", report->type);
	}
	monitor->start = monotonic_seconds();
}

static void on_stage_output(void *data, const char *bytes, size_t size)
{
	struct osbuild_monitor *monitor = data;
	const json_t *stage = json_object_get(monitor->context, "stage");
	const char *type = json_string_value(json_object_get(stage, "name"));
	auto_buf origin = {};

	(void)buf_printf(&origin, "stages/%s", type ? type : "");
	log_message(monitor, buf_text(&origin), bytes, size);
}

static void on_service_line(void *data, const char *id, const char *module,
			    const char *line)
{
	auto_buf text = {};

	(void)buf_printf(&text, "%s (%s): %s\n", id, module, line);
	log_message(data, "org.osbuild", buf_text(&text), text.size);
}

static size_t count_characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* JSONSeqMonitor shortens the output, of the final result as well. */
static json_t *describe_output(const struct osbuild_monitor *monitor,
			       const struct engine_stage_report *report)
{
	auto_json *all =
		text_of(report->output ? report->output : "", report->output_size);
	const char *shown = json_string_value(all);
	size_t n = all ? count_characters(shown) : 0;
	auto_buf text = {};

	if (n <= OUTPUT_MAX || monitor->kind != KIND_JSON_SEQ)
		return json_incref(all);
	for (size_t i = 0; i <= n - OUTPUT_MAX; shown++)
		i += (shown[1] & 0xc0) != 0x80;
	(void)buf_printf(&text, "[...%zu bytes hidden...]\n%s", n - OUTPUT_MAX,
			 shown - 1);
	return json_string(buf_text(&text));
}

static void record_stage(const struct osbuild_monitor *monitor,
			 const struct engine_stage_report *report, json_t *result)
{
	json_t *pipeline = json_object_get(monitor->record->pipelines,
					   record_key(report->stage->pipeline));
	json_t *copy = json_copy(result);

	(void)json_object_set_new(
		copy, "metadata",
		report->metadata ? json_incref((json_t *)(uintptr_t)report->metadata)
				 : json_null());
	(void)json_array_append(json_object_get(pipeline, "stages"), copy);
	if (report->state == ENGINE_STAGE_FAILED) {
		(void)json_object_set_new(pipeline, "success", json_false());
		json_decref(monitor->record->failed);
		monitor->record->failed = json_incref(copy);
	}
	json_decref(copy);
}

static void on_stage_end(void *data, const struct engine_stage_report *report)
{
	struct osbuild_monitor *monitor = data;
	auto_json *result = NULL;
	auto_buf message = {};

	if (report->state == ENGINE_STAGE_CACHED)
		return;
	result = json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", report->type, "id",
			   report->id, "success", report->state == ENGINE_STAGE_RAN,
			   "output", describe_output(monitor, report), "error",
			   report->error ? json_incref((json_t *)(uintptr_t)report->error)
					 : json_null());
	record_stage(monitor, report, result);
	if (monitor->kind == KIND_LOG) {
		(void)buf_printf(&monitor->text, "\n\xe2\x8f\xb1  Duration: %.2fs\n",
				 monotonic_seconds() - monitor->start);
		flush_text(monitor);
	}
	if (monitor->kind != KIND_JSON_SEQ)
		return;
	/* The end of the output. */
	on_stage_output(monitor, "", 0);
	monitor->sub.done++;
	(void)buf_printf(&message, "Finished module %s", report->type);
	write_entry(monitor, &(struct entry){.message = json_string(buf_text(&message)),
					     .result = json_deep_copy(result),
					     .options = json_deep_copy(monitor->options),
					     .metadata = json_deep_copy(report->metadata),
					     .origin = "osbuild.monitor",
					     .has_duration = true});
}

void osbuild_monitor_fill(struct osbuild_monitor *monitor, struct engine_monitor *ret)
{
	*ret = (struct engine_monitor){
		.plan = on_plan,
		.source_begin = on_source_begin,
		.source_end = on_source_end,
		.wants_present = monitor->kind == KIND_JSON_SEQ,
		.pipeline_begin = on_pipeline_begin,
		.pipeline_end = on_pipeline_end,
		.service_line = on_service_line,
		.stage_begin = on_stage_begin,
		.stage_output = on_stage_output,
		.stage_end = on_stage_end,
		.data = monitor,
	};
}

struct osbuild_monitor *osbuild_monitor_new(const char *name, int fd,
					    const char *manifest,
					    struct osbuild_record *record)
{
	static const char *const names[] = {[KIND_NULL] = "NullMonitor",
					    [KIND_LOG] = "LogMonitor",
					    [KIND_JSON_SEQ] = "JSONSeqMonitor"};
	struct osbuild_monitor *monitor;
	size_t kind = 0;

	while (kind < ARRAY_SIZE(names) && strcmp(name, names[kind]) != 0)
		kind++;
	if (kind == ARRAY_SIZE(names))
		return NULL;
	monitor = calloc(1, sizeof(*monitor));
	if (!monitor)
		return NULL;
	monitor->kind = (enum kind)kind;
	monitor->fd = fd;
	monitor->fd_is_terminal = isatty(fd);
	monitor->colour = isatty(STDOUT_FILENO);
	monitor->manifest = manifest;
	monitor->record = record;
	monitor->known = json_object();
	monitor->context = json_pack("{s:n, s:n, s:{s:n, s:n}}", "name", "id", "stage",
				     "name", "id");
	return monitor;
}

struct osbuild_monitor *osbuild_monitor_free(struct osbuild_monitor *monitor)
{
	if (!monitor)
		return NULL;
	buf_done(&monitor->text);
	json_decref(monitor->known);
	json_decref(monitor->context);
	json_decref(monitor->options);
	free(monitor);
	return NULL;
}

int osbuild_monitor_failed(const struct osbuild_monitor *monitor)
{
	return monitor->failed;
}
