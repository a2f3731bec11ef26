/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a push: the directory of every pack that was sent, until an index
 * segment on the remote says the same.  A push that was killed goes on from here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "remote/pack.h"
#include "remote/private.h"

#define HEADER_SIZE 8

int journal_add(struct remote *remote, const char *pack_id, uint64_t pack_size,
		const void *tail, size_t size, struct cop_error *err)
{
	auto_close int fd = -EBADF;
	auto_buf bytes = {};

	put_u64(&bytes, pack_size);
	if (buf_append(&bytes, tail, size) < 0)
		return err_oom(err);
	if (mkdirat(remote->dir_fd, "journal", 0700) < 0 && errno != EEXIST)
		return err_errno(err, "make 'journal'");
	fd = fs_open_plain(remote->dir_fd, "journal", O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? fd
		      : fs_replace_at(fd, pack_id, bytes.data, bytes.size, 0600, err);
}

/* Packs arrive in any order: those before it are empty until they do. */
int journal_note(struct upload *upload, size_t number, const char *pack_id,
		 uint64_t pack_size, struct cop_error *err)
{
	if (number >= upload->n_packs) {
		size_t n = number + 1;
		struct upload_pack *grown =
			reallocarray(upload->packs, n, sizeof(*grown));

		if (!grown)
			return err_oom(err);
		memset(grown + upload->n_packs, 0,
		       (n - upload->n_packs) * sizeof(*grown));
		upload->packs = grown;
		upload->n_packs = n;
	}
	(void)hex_decode(pack_id, upload->packs[number].id, SHA256_SIZE);
	upload->packs[number].size = pack_size;
	return 0;
}

void journal_done(struct journal *journal)
{
	fs_list_free(journal->names);
}

void journal_clear(const struct remote *remote, const struct journal *journal,
		   const struct upload *upload)
{
	auto_close int fd =
		fs_open_plain(remote->dir_fd, "journal", O_RDONLY | O_DIRECTORY, 0, NULL);
	char name[SHA256_HEX + 1];

	if (fd < 0)
		return;
	for (size_t i = 0; i < journal->n; i++)
		(void)unlinkat(fd, journal->names[i], 0);
	for (size_t i = 0; i < upload->n_packs; i++)
		(void)unlinkat(fd, hex_encode(upload->packs[i].id, SHA256_SIZE, name), 0);
}

/* A piece of a large file, which may have others in other packs. */
struct piece {
	struct pack_file file;
	struct block block;
};

struct pieces {
	struct piece *list;
	size_t n, room;
};

static void pieces_done(struct pieces *pieces)
{
	free(pieces->list);
}

static int add_piece(struct pieces *pieces, const struct pack_file *file,
		     const struct block *block, struct cop_error *err)
{
	if (pieces->n == pieces->room) {
		size_t room = pieces->room ? pieces->room * 2 : 256;
		struct piece *grown =
			reallocarray(pieces->list, room, sizeof(*pieces->list));

		if (!grown)
			return err_oom(err);
		pieces->list = grown;
		pieces->room = room;
	}
	pieces->list[pieces->n++] = (struct piece){.file = *file, .block = *block};
	return 0;
}

static int add_pack(struct segment_writer *writer, struct pieces *pieces,
		    const char *pack_id, uint64_t pack_size,
		    const struct pack_directory *directory, struct cop_error *err)
{
	auto_free uint32_t *blocks = calloc(directory->n_blocks + 1, sizeof(*blocks));
	uint8_t id[SHA256_SIZE];
	uint32_t pack = 0;
	int r;

	if (!blocks)
		return err_oom(err);
	(void)hex_decode(pack_id, id, sizeof(id));
	r = segment_writer_add_pack(writer, id, pack_size, &pack, err);
	for (uint32_t i = 0; i < directory->n_blocks && r == 0; i++) {
		directory->blocks[i].pack = pack;
		r = segment_writer_add_block(writer, &directory->blocks[i], &blocks[i],
					     err);
	}
	for (uint32_t i = 0; i < directory->n_files && r == 0; i++) {
		const struct pack_file *file = &directory->files[i];
		struct index_file row = {.id = file->id,
					 .size = file->size,
					 .block = blocks[file->block],
					 .inner = file->inner};

		r = file->size > FILE_BLOCK
			    ? add_piece(pieces, file, &directory->blocks[file->block],
					err)
			    : segment_writer_add_file(writer, &row, err);
	}
	return r;
}

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int order = memcmp(&x->file.id, &y->file.id, sizeof(x->file.id));

	return order ? order : (x->file.at > y->file.at) - (x->file.at < y->file.at);
}

/* Only files whose pieces are all there. */
static int add_large_files(struct segment_writer *writer, const struct pieces *pieces,
			   struct cop_error *err)
{
	int r = 0;

	for (size_t i = 0, end; i < pieces->n && r == 0; i = end) {
		const struct pack_file *first = &pieces->list[i].file;
		struct index_file row = {.id = first->id, .size = first->size};
		uint64_t covered = 0;

		for (end = i;
		     end < pieces->n && memcmp(&pieces->list[end].file.id, &first->id,
					       sizeof(first->id)) == 0;
		     end++)
			covered = pieces->list[end].file.at == covered
					  ? covered + pieces->list[end].file.length
					  : UINT64_MAX;
		if (covered != first->size)
			continue;
		for (size_t k = i; k < end && r == 0; k++) {
			uint32_t number = 0;

			r = segment_writer_add_block(writer, &pieces->list[k].block,
						     &number, err);
			if (k == i)
				row.block = number;
		}
		if (r == 0)
			r = segment_writer_add_file(writer, &row, err);
	}
	return r;
}

static int read_one(int dir_fd, const char *name, uint64_t *ret_pack_size,
		    struct pack_directory *directory)
{
	auto_buf bytes = {};
	const uint8_t *at;
	int r = fs_read_file(dir_fd, name, 2 * DIRECTORY_MAX, &bytes, NULL);

	if (r < 0 || bytes.size <= HEADER_SIZE)
		return r < 0 ? r : -EBADMSG;
	at = (const uint8_t *)bytes.data;
	*ret_pack_size = get_u64(&at);
	return pack_read_directory(at, bytes.size - HEADER_SIZE, *ret_pack_size,
				   directory, NULL);
}

/* Packs that a collection has taken, or that never arrived, are no use. */
static int look(struct remote *remote, char *const *names, size_t n, bool *is_there,
		struct cop_error *err)
{
	struct request *requests = calloc(n, sizeof(*requests));
	int r;

	if (!requests)
		return err_oom(err);
	for (size_t i = 0; i < n; i++) {
		request_init(&requests[i], REQUEST_HEAD, "v1/p/%.2s/%s", names[i],
			     names[i]);
		requests[i].limit = PACK_MAX;
	}
	r = transport_run(remote->transport, requests, n, err);
	for (size_t i = 0; i < n; i++) {
		is_there[i] = requests[i].result == 0;
		if (r == 0 && !is_there[i] && requests[i].result != -ENOENT)
			r = err_copy(err, &requests[i].error);
		request_done(&requests[i]);
	}
	free(requests);
	return r;
}

static int load(struct remote *remote, int dir_fd, char **names, size_t n,
		struct segment_writer *writer, struct cop_error *err)
{
	auto_free bool *is_there = calloc(n + 1, sizeof(*is_there));
	cleanup_with(pieces_done) struct pieces pieces = {};
	int r;

	if (!is_there)
		return err_oom(err);
	r = look(remote, names, n, is_there, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		cleanup_with(pack_directory_done) struct pack_directory directory = {};
		uint64_t pack_size = 0;

		if (is_there[i] &&
		    read_one(dir_fd, names[i], &pack_size, &directory) == 0)
			r = add_pack(writer, &pieces, names[i], pack_size, &directory,
				     err);
		else
			(void)unlinkat(dir_fd, names[i], 0);
	}
	if (r < 0)
		return r;
	if (pieces.n > 0)
		qsort(pieces.list, pieces.n, sizeof(*pieces.list), compare_pieces);
	return add_large_files(writer, &pieces, err);
}

/* Drops, of all names, what is no pack's: another push may be writing it. */
static size_t keep_packs(char **names, size_t n)
{
	struct cop_digest digest;
	size_t n_kept = 0;

	for (size_t i = 0; i < n; i++)
		if (digest_is(names[i], &digest))
			names[n_kept++] = names[i];
	names[n_kept] = NULL;
	return n_kept;
}

int journal_load(struct remote *remote, struct journal *journal, struct cop_error *err)
{
	auto_close int fd =
		fs_open_plain(remote->dir_fd, "journal", O_RDONLY | O_DIRECTORY, 0, NULL);
	auto_ptr(segment_writer) writer = segment_writer_new(err);
	struct segment *segment = NULL;
	char name[SHA256_HEX + 1];
	auto_buf bytes = {};
	int r;

	*journal = (struct journal){};
	if (!writer)
		return -ENOMEM;
	if (fd < 0 || fs_list(fd, &journal->names, &journal->n, NULL) < 0)
		return 0;
	journal->n = keep_packs(journal->names, journal->n);
	r = load(remote, fd, journal->names, journal->n, writer, err);
	if (r < 0 || segment_writer_is_empty(writer))
		return r;
	r = segment_writer_finish(writer, &bytes, name, err);
	if (r == 0)
		r = segment_read(bytes.data, bytes.size, &segment, err);
	if (r == 0)
		r = catalogue_add(remote->catalogue, segment, err);
	if (r == 0)
		journal->segment = catalogue_segment(remote->catalogue, name);
	return r;
}
