/* SPDX-License-Identifier: Apache-2.0 */
/* A stage that failed: its tree and log are kept, and the person is told how to go on. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "base/process.h"
#include "engine/run.h"
#include "store/secret.h"
#include "store/store.h"

/* Less than this is a full disk. */
#define FULL_BYTES MIB

static bool disk_is_full(const struct run *run)
{
	struct statvfs st;

	return fstatvfs(store_fd(run->store), &st) == 0 &&
	       ((uint64_t)st.f_bavail * st.f_frsize < FULL_BYTES ||
		(st.f_files > 0 && st.f_favail == 0));
}

static bool is_out_of_space(const struct run *run, const struct stage_outcome *outcome)
{
	return outcome->status != 0 &&
	       (disk_is_full(run) ||
		strstr(buf_text(&outcome->log), "No space left on device"));
}

/* A module may have cleaned up behind itself, or filled some other disk. */
bool stage_wants_room(const struct run *run, const struct stage_outcome *outcome)
{
	struct statvfs st;

	if (outcome->status == 0)
		return false;
	if (disk_is_full(run))
		return true;
	return is_out_of_space(run, outcome) &&
	       fstatvfs(store_fd(run->store), &st) == 0 && st.f_bavail < st.f_blocks / 5;
}

static const char *describe_death(const struct run *run,
				  const struct stage_outcome *outcome, char *text,
				  size_t size)
{
	const char *reason = "";
	char how[96];

	if (outcome->timed_out) {
		(void)snprintf(text, size, "ended after its time of %u s",
			       run->options->stage_timeout);
		return text;
	}
	if (is_out_of_space(run, outcome))
		reason = ", the disk is full";
	else if (outcome->out_of_memory)
		reason = ", out of memory";
	(void)snprintf(text, size, "%s%s",
		       process_describe(outcome->status, how, sizeof(how)), reason);
	return text;
}

/* The tree is only to look at: that it cannot be kept is no further failure. */
static bool keep_tree(struct run *run, const struct manifest_stage *stage,
		      struct cop_object *object)
{
	auto_json *meta =
		json_pack("{s:s, s:s, s:s}", "stage", stage->type, "pipeline",
			  stage->pipeline->name, "manifest", run->manifest->digest);
	const struct object_commit_options options = {
		.class = REF_FAILED,
		.name = stage->id,
		.meta = meta,
		.progress = run->monitor->progress,
		.keep_base = true,
	};
	struct cop_error reason = {};
	struct cop_digest digest;
	int r = object_commit_as(object, &options, &digest, &reason);

	if (r == 0 && run_is_private(run, stage))
		r = object_mark_private(run->store, &digest, &reason);
	if (r == 0)
		return true;
	run_note(run, "the failed tree could not be kept: %s", reason.message);
	return false;
}

static bool keep_log(struct run *run, const struct manifest_stage *stage,
		     const struct stage_outcome *outcome)
{
	struct cop_error reason = {};

	if (outcome->log.size == 0)
		return false;
	if (store_log_write(run->store, stage->id, outcome->log.data, outcome->log.size,
			    &reason) == 0)
		return true;
	run_note(run, "the log could not be kept: %s", reason.message);
	return false;
}

/* "coppice ", with --store where another store would be taken without it */
static void begin_command(const struct run *run, struct buf *text)
{
	auto_free char *standard = NULL;
	const char *path = cop_store_path(run->store);

	(void)buf_append_text(text, "coppice ");
	if (store_default_path(&standard, NULL) < 0 || strcmp(standard, path) != 0)
		(void)buf_printf(text, "--store %s ", path);
}

int stage_fail(struct run *run, const struct manifest_stage *stage,
	       struct cop_object *object, const struct stage_outcome *outcome,
	       struct cop_error *err)
{
	const char *retry = run->options->retry_command;
	char how[160], line[512];
	auto_buf command = {};

	begin_command(run, &command);
	describe_death(run, outcome, how, sizeof(how));
	if (run->options->as_osbuild)
		return err_set(err, -ECHILD, "stage %u of pipeline '%s', %s: %s",
			       stage->number, stage->pipeline->name, stage->type, how);
	if (keep_tree(run, stage, object))
		run_note(run, "look inside:  %srun failed/%s", buf_text(&command),
			 stage->id);
	if (keep_log(run, stage, outcome))
		run_note(run, "read the log: %slog failed/%s", buf_text(&command),
			 stage->id);
	if (retry)
		run_note(run, "try again:    %s", retry);
	return err_set(err, -ECHILD, "stage %u of pipeline '%s', %s: %s: %s",
		       stage->number, stage->pipeline->name, stage->type, how,
		       outcome->exception ? outcome->exception
					  : process_last_line(buf_text(&outcome->log),
							      line, sizeof(line)));
}
