/* SPDX-License-Identifier: Apache-2.0 */
/* A packet's true size is asked for before it is read, so nothing is ever cut. */
#include "json/comm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/text.h"
#include "json/json.h"

/* The packet that says "look into the first fd". */
#define VIA_FD "<args-via-fd>"
/* A send buffer holds at least this where the kernel does not say more. */
#define PACKET_MAX_DEFAULT 64000
#define BACKLOG		   65536

void comm_fds_done(struct comm_fds *fds)
{
	for (size_t i = 0; i < fds->n; i++)
		closep(&fds->fds[i]);
	fds->n = 0;
}

static size_t packet_max(void)
{
	auto_buf text = {};
	uint64_t value = 0;
	auto_close int fd =
		open("/proc/sys/net/core/wmem_max", O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fs_read_all(fd, 64, &text, NULL) < 0)
		return PACKET_MAX_DEFAULT;
	while (text.size > 0 && text.data[text.size - 1] == '\n')
		buf_truncate(&text, text.size - 1);
	if (text_to_u64(buf_text(&text), &value) < 0 || value == 0)
		return PACKET_MAX_DEFAULT;
	return (size_t)min_u64(value, 16 * MIB);
}

static int make_payload(const struct buf *text, struct cop_error *err)
{
	auto_close int fd = memfd_create("jsoncomm/payload", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_errno(err, "make a memory file");
	r = fs_write_all(fd, text->data, text->size);
	if (r < 0)
		return err_code(err, r, "write %zu bytes into a memory file", text->size);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, "rewind a memory file");
	return TAKE_FD(fd);
}

static int send_packet(int socket, const void *data, size_t size, const int *fds,
		       size_t n_fds, struct cop_error *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(COMM_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	int send_size = (int)size;

	if (n_fds > 0) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		/* What CMSG_FIRSTHDR() gives, without its NULL for no room. */
		header = &control.align;
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
	}
	/* A packet must fit into the send buffer as a whole; only ever make it larger. */
	if (size > PACKET_MAX_DEFAULT)
		(void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &send_size,
				 sizeof(send_size));
	while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return err_errno(err, "send %zu bytes", size);
	return 0;
}

int comm_send(int socket, const json_t *message, const int *fds, size_t n_fds,
	      struct cop_error *err)
{
	auto_buf text = {};
	auto_close int payload = -EBADF;
	int all[COMM_FDS_MAX];
	int r;

	if (n_fds >= COMM_FDS_MAX)
		return err_set(err, -E2BIG, "send: %zu fds are too many", n_fds);
	r = json_write(message, 0, &text, err);
	if (r < 0)
		return err_prefix(err, r, "send");
	if (text.size > JSON_SIZE_MAX)
		return err_set(err, -E2BIG, "send: a message of %zu bytes is too large",
			       text.size);
	if (text.size <= packet_max())
		return send_packet(socket, text.data, text.size, fds, n_fds, err);

	payload = make_payload(&text, err);
	if (payload < 0)
		return payload;
	all[0] = payload;
	if (n_fds > 0)
		memcpy(all + 1, fds, n_fds * sizeof(*fds));
	return send_packet(socket, VIA_FD, strlen(VIA_FD), all, n_fds + 1, err);
}

static void take_fds(struct msghdr *message, struct comm_fds *fds)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		size_t n;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (n > COMM_FDS_MAX - fds->n)
			n = COMM_FDS_MAX - fds->n;
		memcpy(fds->fds + fds->n, CMSG_DATA(header), n * sizeof(int));
		fds->n += n;
	}
}

static int receive_packet(int socket, struct buf *text, struct comm_fds *fds,
			  struct cop_error *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(COMM_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t size, got;

	do
		size = recv(socket, NULL, 0, MSG_PEEK | MSG_TRUNC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == EAGAIN ? -EAGAIN : err_errno(err, "receive");
	if ((uint64_t)size > JSON_SIZE_MAX)
		return err_set(err, -EBADMSG, "receive: a packet of %zd bytes", size);
	if (buf_reserve(text, (size_t)size + 1) < 0)
		return err_oom(err);
	iov = (struct iovec){.iov_base = text->data, .iov_len = (size_t)size + 1};
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_errno(err, "receive");
	take_fds(&message, fds);
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return err_set(err, -EBADMSG, "receive: the message was cut off");
	text->size = (size_t)got;
	text->data[got] = '\0';
	return got > 0;
}

/* The first fd is somebody else's file: only a bounded, seekable one is read. */
static int read_payload(struct buf *text, struct comm_fds *fds, struct cop_error *err)
{
	auto_close int payload = -EBADF;
	struct stat st;
	ssize_t got;

	if (fds->n == 0)
		return err_set(err, -EBADMSG, "receive: the message's file is missing");
	payload = fds->fds[0];
	fds->n--;
	memmove(fds->fds, fds->fds + 1, fds->n * sizeof(int));
	if (fstat(payload, &st) < 0)
		return err_errno(err, "receive: look at the message's file");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > JSON_SIZE_MAX)
		return err_set(err, -EBADMSG, "receive: the message's file is odd");
	buf_truncate(text, 0);
	if (buf_reserve(text, (size_t)st.st_size) < 0)
		return err_oom(err);
	got = fs_pread_full(payload, text->data, (size_t)st.st_size, 0);
	if (got < 0)
		return err_code(err, (int)got, "receive: read the message's file");
	text->size = (size_t)got;
	text->data[got] = '\0';
	return 0;
}

int comm_receive(int socket, json_t **ret_message, struct comm_fds *ret_fds,
		 struct cop_error *err)
{
	auto_comm_fds fds = {};
	auto_buf text = {};
	int r = receive_packet(socket, &text, &fds, err);

	if (r <= 0)
		return r;
	if (text.size == strlen(VIA_FD) && memcmp(text.data, VIA_FD, text.size) == 0) {
		r = read_payload(&text, &fds, err);
		if (r < 0)
			return r;
	}
	r = json_read(text.data, text.size, ret_message, err);
	if (r < 0)
		return err_prefix(err, r, "receive");
	if (ret_fds) {
		*ret_fds = fds;
		fds.n = 0;
	}
	return 1;
}

union address {
	struct sockaddr any;
	struct sockaddr_un local;
};

static int fill_address(const char *path, union address *ret_address,
			struct cop_error *err)
{
	ret_address->local = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret_address->local.sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "socket '%s': the path is longer than %zu bytes", path,
			       sizeof(ret_address->local.sun_path) - 1);
	memcpy(ret_address->local.sun_path, path, strlen(path) + 1);
	return 0;
}

int comm_listen(const char *path, struct cop_error *err)
{
	union address address;
	auto_close int fd = -EBADF;
	int r = fill_address(path, &address, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	if (bind(fd, &address.any, sizeof(address.local)) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, "listen on '%s'", path);
	return TAKE_FD(fd);
}

int comm_connect(const char *path, struct cop_error *err)
{
	union address address;
	auto_close int fd = -EBADF;
	int r = fill_address(path, &address, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(err, "make a socket");
	if (connect(fd, &address.any, sizeof(address.local)) < 0)
		return err_errno(err, "connect to '%s'", path);
	return TAKE_FD(fd);
}
