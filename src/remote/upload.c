/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files into packs, packs to the remote.  All processors read, verify and compress, each
 * a block at a time; the caller's thread sends.  At most a few packs are in memory.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/text.h"
#include "base/work.h"
#include "digest/verity.h"
#include "remote/pack.h"
#include "remote/private.h"
#include "store/object.h"

/* Packs that are full and not yet sent. */
#define PACKS_WAITING_MAX 4
#define STEP_MS		  500

struct sending {
	struct sending *next;
	struct upload_run *run;
	struct request request;
	struct pack *pack;
	uint32_t number;
};

struct upload_run {
	struct upload *upload;
	_Atomic size_t next_job;
	_Atomic bool failed;
	_Atomic uint64_t n_packed;
	unsigned int n_workers;
	uint64_t n_bytes;
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t room;
	struct pack *open;
	uint32_t n_numbers;
	struct sending *ready;
	struct sending *flying; /* by the sending thread only, as is @failure */
	size_t n_waiting;	/* ready or being sent */
	unsigned int n_ended;
	struct map *hashes;	  /* of pieces of this run: to job + 1 */
	struct cop_error failure; /* of a request */
};

void upload_done(struct upload *upload)
{
	for (size_t i = 0; i < upload->n_trees; i++)
		buf_done(&upload->trees[i].stored);
	free(upload->files);
	free(upload->jobs);
	free(upload->trees);
	free(upload->packs);
}

/* --- the plan --- */

static size_t count_jobs(const struct upload *upload)
{
	size_t n = 1;

	for (size_t i = 0; i < upload->n_files; i++)
		n += (upload->files[i].size + FILE_BLOCK - 1) / FILE_BLOCK;
	return n;
}

static void cut_file(struct upload *upload, size_t file)
{
	uint64_t size = upload->files[file].size;

	upload->files[file].first_job = upload->n_jobs;
	for (uint64_t at = 0; at < size; at += FILE_BLOCK)
		upload->jobs[upload->n_jobs++] = (struct upload_job){
			.first_file = file,
			.n_files = 1,
			.at = at,
			.size = (uint32_t)min_u64(size - at, FILE_BLOCK)};
}

/* Small files in the order of the tree share blocks: what belongs together compresses
 * better, and is fetched together. */
int upload_plan(struct upload *upload, struct cop_error *err)
{
	struct upload_job *shared = NULL;

	upload->jobs = calloc(count_jobs(upload), sizeof(*upload->jobs));
	if (!upload->jobs)
		return err_oom(err);
	for (size_t i = 0; i < upload->n_files; i++) {
		struct upload_file *file = &upload->files[i];

		if (file->size >= SHARED_FILE_MAX) {
			cut_file(upload, i);
			shared = NULL;
			continue;
		}
		if (!shared || shared->size + file->size > SHARED_BLOCK_MAX) {
			shared = &upload->jobs[upload->n_jobs++];
			*shared = (struct upload_job){.first_file = i};
		}
		file->first_job = upload->n_jobs - 1;
		file->inner = shared->size;
		shared->size += (uint32_t)file->size;
		shared->n_files++;
	}
	return 0;
}

/* --- in the workers --- */

static int damaged_here(const struct upload_file *file, struct cop_error *err)
{
	char hex[COP_DIGEST_HEX + 1];

	return err_set(err, -EUCLEAN,
		       "file '%s' of the store is damaged and is not sent; build or "
		       "commit its tree again",
		       cop_digest_to_hex(&file->id, hex));
}

static int read_file(struct cop_store *store, const struct upload_file *file, uint64_t at,
		     void *data, size_t size, struct cop_error *err)
{
	auto_close int fd = pool_open_file(store, &file->id, file->size, err);
	struct cop_digest found;
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return fd;
	/* A large file is looked at once as a whole, with its first piece. */
	if (size < file->size && at == 0) {
		r = verity_digest_fd(fd, file->size, 1, &found, err);
		if (r < 0)
			return r;
		if (!cop_digest_equal(&found, &file->id))
			return damaged_here(file, err);
	}
	n = fs_pread_full(fd, data, size, at);
	if (n < 0)
		return err_code(err, (int)n, "read a file of the store");
	if ((size_t)n < size)
		return damaged_here(file, err);
	if (size == file->size) {
		r = verity_digest_bytes(data, size, &found, err);
		if (r == 0 && !cop_digest_equal(&found, &file->id))
			r = damaged_here(file, err);
	}
	return r;
}

/* Who has the piece already: the remote, or another job of this run.  Return: 1. */
static int find_same(struct upload_run *run, size_t number, const void *data,
		     struct cop_error *err)
{
	struct upload_job *job = &run->upload->jobs[number];
	const struct index_part *part;
	char hex[SHA256_HEX + 1];
	void **slot;
	int r = sha256_bytes(data, job->size, hex, err);

	if (r < 0)
		return r;
	(void)hex_decode(hex, job->hash, sizeof(job->hash));
	job->has_hash = true;
	part = catalogue_part(run->upload->remote->catalogue, job->hash, &job->reused);
	if (part && job->reused->blocks[part->block].size == job->size) {
		job->reused_block = part->block;
		return 1;
	}
	job->reused = NULL;
	(void)pthread_mutex_lock(&run->mutex);
	slot = map_slot(run->hashes, job->hash, sizeof(job->hash));
	if (!slot)
		r = err_oom(err);
	else if (*slot && run->upload->jobs[(size_t)*slot - 1].size == job->size)
		job->same_as = (size_t)*slot;
	else
		/* Not a pointer: the number of the job, from 1. */
		*slot = (void *)(number + 1); // NOLINT(performance-no-int-to-ptr)
	(void)pthread_mutex_unlock(&run->mutex);
	return r < 0 ? r : job->same_as > 0;
}

static int enter_files(const struct upload *upload, const struct upload_job *job,
		       struct pack *pack, uint32_t block, struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0; i < job->n_files && r == 0; i++) {
		const struct upload_file *file = &upload->files[job->first_file + i];
		struct pack_file entry = {
			.id = file->id,
			.size = file->size,
			.at = job->at,
			.block = block,
			.inner = file->inner,
			.length = (uint32_t)min_u64(file->size - job->at, FILE_BLOCK)};

		r = pack_add_file(pack, &entry, err);
	}
	return r;
}

static int need_open(struct upload_run *run, struct cop_error *err)
{
	if (run->open)
		return 0;
	run->open = pack_new(err);
	if (!run->open)
		return -ENOMEM;
	run->n_numbers++;
	return 0;
}

/* Called with the lock held; a pack that is full is handed back. */
static int enter_block(struct upload_run *run, struct upload_job *job,
		       const struct buf *stored, enum block_codec codec,
		       struct pack **ret_full, struct cop_error *err)
{
	uint32_t block = 0;
	int r = need_open(run, err);

	if (r == 0)
		r = pack_add_block(run->open, stored, job->size, codec, &block, err);
	if (r == 0)
		r = enter_files(run->upload, job, run->open, block, err);
	if (r < 0)
		return r;
	job->pack = run->n_numbers - 1;
	job->block = run->open->directory.blocks[block];
	if (run->open->bytes.size >= PACK_TARGET)
		*ret_full = TAKE_PTR(run->open);
	return 0;
}

static int hand_over(struct upload_run *run, struct pack *full, uint32_t number,
		     struct cop_error *err)
{
	auto_ptr(pack) pack = full;
	struct sending *sending;
	int r = pack_finish(pack, err);

	if (r < 0)
		return r;
	sending = calloc(1, sizeof(*sending));
	if (!sending)
		return err_oom(err);
	sending->run = run;
	sending->pack = TAKE_PTR(pack);
	sending->number = number;
	(void)pthread_mutex_lock(&run->mutex);
	sending->next = run->ready;
	run->ready = sending;
	(void)pthread_mutex_unlock(&run->mutex);
	transport_wake(run->upload->remote->transport);
	return 0;
}

static int enter(struct upload_run *run, struct upload_job *job, const struct buf *stored,
		 enum block_codec codec, struct cop_error *err)
{
	struct pack *full = NULL;
	uint32_t number;
	int r;

	(void)pthread_mutex_lock(&run->mutex);
	while (run->n_waiting >= PACKS_WAITING_MAX && !run->failed)
		(void)pthread_cond_wait(&run->room, &run->mutex);
	r = enter_block(run, job, stored, codec, &full, err);
	number = run->n_numbers - 1;
	if (full)
		run->n_waiting++;
	(void)pthread_mutex_unlock(&run->mutex);
	return full ? hand_over(run, full, number, err) : r;
}

static int pack_job(struct upload_run *run, struct packer *packer, size_t number,
		    uint8_t *data, struct cop_error *err)
{
	struct upload *upload = run->upload;
	struct upload_job *job = &upload->jobs[number];
	const struct upload_file *first = &upload->files[job->first_file];
	enum block_codec codec = BLOCK_STORED;
	auto_buf stored = {};
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; i < job->n_files && r == 0; i++) {
		const struct upload_file *file = &upload->files[job->first_file + i];
		size_t size = min_u64(file->size - job->at, FILE_BLOCK);

		r = read_file(upload->remote->store, file, job->at, data + at, size, err);
		at += size;
	}
	if (r == 0 && first->size >= PARTS_MIN)
		r = find_same(run, number, data, err);
	atomic_fetch_add(&run->n_packed, job->size);
	if (r != 0)
		return r < 0 ? r : 0;
	r = block_pack(packer, data, job->size, &stored, &codec, err);
	return r < 0 ? r : enter(run, job, &stored, codec, err);
}

static int run_worker(void *data, void *item, struct cop_error *err)
{
	struct upload_run *run = data;
	auto_ptr(packer) packer = packer_new(err);
	auto_free uint8_t *room = malloc(FILE_BLOCK);
	int r = packer && room ? 0 : err_oom(err);

	(void)item;
	while (r == 0 && !run->failed) {
		size_t number = atomic_fetch_add(&run->next_job, 1);

		if (number >= run->upload->n_jobs)
			break;
		r = pack_job(run, packer, number, room, err);
	}
	if (r < 0)
		run->failed = true;
	(void)pthread_mutex_lock(&run->mutex);
	run->n_ended++;
	(void)pthread_cond_broadcast(&run->room);
	(void)pthread_mutex_unlock(&run->mutex);
	transport_wake(run->upload->remote->transport);
	return r;
}

/* --- in the thread that sends --- */

static struct sending *sending_free(struct sending *sending)
{
	request_done(&sending->request);
	pack_free(sending->pack);
	free(sending);
	return NULL;
}

static int note_sent(const struct sending *sending, struct cop_error *err)
{
	struct upload *upload = sending->run->upload;
	const struct pack *pack = sending->pack;
	int r;

	if (sending->request.result < 0)
		return err_copy(err, &sending->request.error);
	r = journal_note(upload, sending->number, pack->id, pack->bytes.size, err);
	if (r < 0)
		return r;
	return journal_add(upload->remote, pack->id, pack->bytes.size,
			   pack->bytes.data + pack->directory_at,
			   pack->bytes.size - pack->directory_at, err);
}

static void sent(struct request *request)
{
	struct sending *sending = request->owner;
	struct upload_run *run = sending->run;
	struct cop_error err = {};

	/* An earlier attempt arrived although nobody heard of it; or somebody lies. */
	if (request->result == -EEXIST && request->method == REQUEST_PUT) {
		request->method = REQUEST_HEAD;
		request->limit = PACK_MAX;
		request->if_absent = false;
		(void)transport_start(run->upload->remote->transport, request);
		return;
	}

	if (note_sent(sending, &err) < 0) {
		if (!run->failed)
			run->failure = err;
		run->failed = true;
	}
	for (struct sending **at = &run->flying; *at; at = &(*at)->next)
		if (*at == sending) {
			*at = sending->next;
			break;
		}
	(void)sending_free(sending);
	(void)pthread_mutex_lock(&run->mutex);
	run->n_waiting--;
	(void)pthread_cond_broadcast(&run->room);
	(void)pthread_mutex_unlock(&run->mutex);
}

static int send_ready(struct upload_run *run)
{
	struct transport *transport = run->upload->remote->transport;
	int r = 0;

	while (r == 0) {
		struct sending *sending;

		(void)pthread_mutex_lock(&run->mutex);
		sending = run->ready;
		if (sending)
			run->ready = sending->next;
		(void)pthread_mutex_unlock(&run->mutex);
		if (!sending)
			break;
		request_init(&sending->request, REQUEST_PUT, "v1/p/%.2s/%s",
			     sending->pack->id, sending->pack->id);
		sending->request.body = sending->pack->bytes.data;
		sending->request.body_size = sending->pack->bytes.size;
		sending->request.if_absent = run->upload->remote->has_conditions;
		(void)memcpy(sending->request.body_sha256, sending->pack->id,
			     SHA256_HEX + 1);
		sending->request.done = sent;
		sending->request.owner = sending;
		sending->next = run->flying;
		run->flying = sending;
		r = transport_start(transport, &sending->request);
	}
	return r;
}

static bool is_waiting(struct upload_run *run, bool *ret_ended)
{
	bool waiting;

	(void)pthread_mutex_lock(&run->mutex);
	*ret_ended = run->n_ended == run->n_workers;
	waiting = run->n_waiting > 0;
	(void)pthread_mutex_unlock(&run->mutex);
	return waiting;
}

static int send_all(struct upload_run *run, struct cop_error *err)
{
	struct remote *remote = run->upload->remote;
	bool ended = false;
	int r = 0;

	while (r == 0 && !run->failed && (is_waiting(run, &ended) || !ended)) {
		remote_tell(remote, "sending", min_u64(run->n_packed, run->n_bytes),
			    run->n_bytes, "bytes");
		r = send_ready(run);
		if (r == 0)
			r = marker_refresh(remote->marker, err);
		if (r == 0 && !run->failed && (is_waiting(run, &ended) || !ended))
			r = transport_step(remote->transport, STEP_MS, err);
	}
	return r;
}

/* What is left in the last pack, and the trees. */
static int finish_open(struct upload_run *run, struct cop_error *err)
{
	struct upload *upload = run->upload;
	int r = 0;

	for (size_t i = 0; i < upload->n_trees && r == 0; i++) {
		struct upload_tree *tree = &upload->trees[i];
		struct pack_tree entry = {.id = tree->id};

		r = need_open(run, err);
		if (r == 0)
			r = pack_add_block(run->open, &tree->stored, tree->size,
					   BLOCK_TREE, &entry.block, err);
		if (r == 0)
			r = pack_add_tree(run->open, &entry, err);
		if (r < 0)
			return r;
		tree->pack = run->n_numbers - 1;
		tree->block = run->open->directory.blocks[entry.block];
	}
	if (!run->open || run->open->directory.n_blocks == 0)
		return 0;
	run->n_waiting++;
	r = hand_over(run, TAKE_PTR(run->open), run->n_numbers - 1, err);
	return r < 0 ? r : send_all(run, err);
}

static void free_all(struct sending *sending)
{
	while (sending) {
		struct sending *next = sending->next;

		(void)sending_free(sending);
		sending = next;
	}
}

static void run_done(struct upload_run *run)
{
	transport_abort(run->upload->remote->transport);
	free_all(run->flying);
	free_all(run->ready);
	pack_free(run->open);
	map_free(run->hashes);
	(void)pthread_cond_destroy(&run->room);
	(void)pthread_mutex_destroy(&run->mutex);
}

static int run_workers(struct upload_run *run, struct cop_error *err)
{
	static const struct work_ops ops = {.run = run_worker};
	auto_ptr(work) work = NULL;
	struct cop_error failure = {};
	int r, worked;

	if (run->n_workers == 0)
		return 0;
	r = work_new(&ops, run, run->n_workers, &work, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < run->n_workers; i++)
		(void)work_add(work, run);
	work_wake(work);
	r = send_all(run, err);
	if (r < 0)
		run->failed = true;
	(void)pthread_mutex_lock(&run->mutex);
	(void)pthread_cond_broadcast(&run->room);
	(void)pthread_mutex_unlock(&run->mutex);
	worked = work_finish(work, &failure);
	return r < 0 ? r : worked < 0 ? err_copy(err, &failure) : 0;
}

int upload_run(struct upload *upload, struct cop_error *err)
{
	cleanup_with(run_done) struct upload_run run = {
		.upload = upload,
		.n_workers = upload->n_jobs == 0
				     ? 0
				     : (unsigned int)min_u64(work_default_threads(),
							     upload->n_jobs),
		.hashes = map_new(),
	};
	int r;

	(void)pthread_mutex_init(&run.mutex, NULL);
	(void)pthread_cond_init(&run.room, NULL);
	for (size_t i = 0; i < upload->n_jobs; i++)
		run.n_bytes += upload->jobs[i].size;
	r = run.hashes ? run_workers(&run, err) : err_oom(err);
	if (r == 0 && !run.failed)
		r = finish_open(&run, err);
	if (r == 0 && run.failed)
		r = err_copy(err, &run.failure);
	if (r == 0 && run.n_bytes > 0)
		remote_tell(upload->remote, "sending", run.n_bytes, run.n_bytes, "bytes");
	return r;
}
